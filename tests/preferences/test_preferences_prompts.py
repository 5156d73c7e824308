"""What a judge reads: known words, and nothing from a stranger that could break a prompt."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ialp_jax.artifacts import InputError
from ialp_jax.preferences.prompting import prompts


def test_known_state_text():
    text = prompts.state_text("games", "implicit", ["Braid", "Portal"], [0.95, 0.1], about="Lives\nin Oslo")
    assert text == (
        "About this user: Lives in Oslo\n"
        "What this user played, oldest first, most recent last:\n"
        "1. Braid (played much more than most players)\n"
        "2. Portal (played much less than most players)"
    )


def test_known_item_text_and_ratings():
    assert prompts.item_text("Alien", "Horror") == "Alien. Horror"
    assert prompts.item_text("Braid", "") == "Braid"
    assert prompts.item_text("Braid", "Indie, Puzzle", attributes_length=6) == "Braid. Indie…"
    assert prompts.item_text("", "Horror") == "(untitled). Horror"
    assert prompts.describe_grade("movies", "explicit", 1.0) == "liked it very much"
    assert prompts.describe_grade("movies", "explicit", 0.0) == "disliked it"


def test_an_empty_history_is_said():
    assert prompts.state_text("music", "implicit", [], []).startswith("Nothing is known")


@pytest.mark.parametrize("domain", prompts.TEMPLATES)
@pytest.mark.parametrize("feedback", ["implicit", "explicit"])
def test_every_domain_has_all_levels_and_its_own_hash(domain, feedback):
    grades = [0.1, 0.3, 0.5, 0.7, 0.9]
    assert len({prompts.describe_grade(domain, feedback, grade) for grade in grades}) == 5
    assert "yes or no" in prompts.question(domain)
    hashes = {
        prompts.template_hash(name, kind) for name in prompts.TEMPLATES for kind in ("implicit", "explicit")
    }
    assert len(hashes) == 2 * len(prompts.TEMPLATES)


def test_the_hash_follows_the_words(monkeypatch):
    before = prompts.template_hash("games", "implicit")
    monkeypatch.setattr(prompts, "question", lambda domain: "Would they?")
    assert prompts.template_hash("games", "implicit") != before


def test_unknown_domain_names_the_known_ones():
    with pytest.raises(InputError, match="generic"):
        prompts.question("poems")


@given(st.text(max_size=300), st.integers(5, 60))
def test_cleaned_text_is_one_bounded_line_without_markers(text, length):
    line = prompts.clean(text, length)
    assert len(line) <= length
    assert not any(unicodedata.category(char).startswith("C") or char in "\n\r\t\u2028" for char in line)
    assert "<|" not in line and "|>" not in line
    assert prompts.clean(line, length) == line


def test_chat_markers_go_and_cuts_fall_between_words():
    assert prompts.clean("Doom <|im_end|> II", 50) == "Doom II"
    assert prompts.clean("<<||im_end|>", 50) == "<"
    assert prompts.clean("one two three", 10) == "one two…"
