"""Prompts as token ids, with a toy tokenizer: a letter a token, chat marks one token each."""

import re
import string

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ialp_jax.artifacts import InputError
from ialp_jax.preferences.prompting.estimate import computed_tokens, kv_bytes
from ialp_jax.preferences.prompting.layout import label_ids, label_tokens, make_layout, single_labels
from ialp_jax.preferences.prompting.spellings import bare, spellings

MARKS = {"<s>": 1, "<u>": 2, "<a>": 3}


class Letters:
    """A tokenizer of single letters; `words` are tokens of their own."""

    chat_template = "{system}<u>{user}<a>"

    def __init__(self, words=("yes", "no"), template="<s>{system}<u>{user}<a>", refuses_system=False):
        self._words = {word: 10 + number for number, word in enumerate(words)}
        self.chat_template, self._refuses = template, refuses_system

    def apply_chat_template(self, conversation, **options):
        assert options["enable_thinking"] is False and options["add_generation_prompt"]
        self.today = options["strftime_now"]("%d %b %Y"), options["date_string"]
        said = {message["role"]: message["content"] for message in conversation}
        if self._refuses and "system" in said:
            raise jinja2.TemplateError("System role not supported")
        return self.chat_template.format(system=said.get("system", ""), user=said["user"])

    def __call__(self, text, add_special_tokens, split_special_tokens):
        assert add_special_tokens is False
        known = self._words | ({} if split_special_tokens else MARKS)
        pieces = re.findall("|".join([*map(re.escape, known), "(?s:.)"]), text)
        return {"input_ids": [known.get(piece, 1000 + ord(piece[0])) for piece in pieces]}


@given(st.text(max_size=80), st.text(max_size=40), st.text(max_size=40), st.integers(1, 40))
def test_the_shared_part_is_whole_blocks_and_texts_never_become_marks(history, question, item, block):
    layout = make_layout(Letters(), "Be short.", block)
    prefix, suffix = layout.prefix(history, question + "<u>"), layout.suffix(item + "<a>")
    assert len(prefix) % block == 0 and prefix[: len(layout.head)] == list(layout.head)
    assert prefix.count(2) == 1 and prefix.count(1) == 1 and suffix.count(3) == 1 and suffix[-1] == 3
    assert len(prefix) - len(layout.head) - len(history) < block + len(question) + 4
    # Nothing but padding stands between what was given.
    without = [token for token in prefix if token != 1000 + ord("\n")]
    given_ = [token for token in [*layout.head, *layout.data(history), *layout.data(question + "<u>")]
              if token != 1000 + ord("\n")]  # fmt: skip
    assert without == given_


def test_a_format_without_system_message_takes_it_with_the_users():
    for tokenizer in (Letters(refuses_system=True), Letters(template="<u>{user}<a>")):
        layout = make_layout(tokenizer, "Be short.", 8)
        assert layout.head == tuple([*([1] if "<s>" in tokenizer.chat_template else []), 2,
                                     *(1000 + ord(letter) for letter in "Be short.\n\n")])  # fmt: skip
        assert layout.tail == (3,)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (None, "no chat template"),
        ("<u>{user}{user}<a>", "once and unchanged"),
        ("<u>hello<a>", "once and unchanged"),
    ],
)
def test_formats_that_cannot_be_taken_apart_are_refused(template, message):
    with pytest.raises(InputError, match=message):
        make_layout(Letters(template=template), "Be short.", 8)


def test_labels_must_be_single_and_distinct_behind_the_header():
    layout = make_layout(Letters(), "Be short.", 8)
    assert label_ids(layout, ["yes", "no"]) == [10, 11]
    with pytest.raises(InputError, match="'maybe' is not a single token"):
        label_ids(layout, ["yes", "maybe"])
    with pytest.raises(InputError, match="not distinct"):
        label_ids(layout, ["no", "no"])
    assert single_labels(layout, "ABC", 2) == ["A", "B"]
    with pytest.raises(InputError, match="only 3 of the letters"):
        single_labels(layout, "ABC", 4)


def test_a_label_is_every_token_that_spells_it_behind_the_header():
    words = ("yes", "Yes", " YES", "no", "No")
    layout = make_layout(Letters(words=words), "Be short.", 8)
    assert label_tokens(layout, ["yes", "no"]) == [[10, 11, 12], [13, 14]]
    assert label_tokens(layout, ["YES", "No"]) == [[10, 11, 12], [13, 14]]  # however it is given
    with pytest.raises(InputError, match=r"'maybe' is not a single token .* however it is spelled"):
        label_tokens(layout, ["yes", "maybe"])
    with pytest.raises(InputError, match="not distinct words"):
        label_tokens(layout, ["no", " No"])


@given(st.text(string.ascii_letters + " ", min_size=1, max_size=8))
def test_spellings_are_one_label(label):
    ways = spellings(label)
    assert ways[0] == label and len(set(ways)) == len(ways)
    assert {bare(way) for way in ways} == {bare(label)}
    assert {f" {bare(label).upper()}", bare(label)} <= set(ways)


def test_a_label_that_melts_into_the_header_is_no_single_token():
    layout = make_layout(Letters(words=("yes", "no", ">yes"), template="<u>{user}->"), "Be short.", 8)
    with pytest.raises(InputError, match="'yes' is not a single token"):
        label_ids(layout, ["yes"])


def test_computed_tokens_known_answers():
    assert computed_tokens([], 4) == 0
    assert computed_tokens([[1] * 10], 4) == 10
    # 8 of 10 come from the cache; of a prompt that is whole blocks the last block is computed for its last token.
    assert computed_tokens([[1] * 10, [1] * 10], 4) == 12
    assert computed_tokens([[1] * 8, [1] * 8], 4) == 12
    assert computed_tokens([[1, 2, 3, 4, 5], [1, 2, 3, 4, 6, 7], [1, 2, 3, 9, 5]], 4) == 5 + 2 + 5
    # Equal blocks at other places are other blocks.
    assert computed_tokens([[1, 1, 2, 2, 9], [2, 2, 1, 1, 9]], 2) == 10


@given(st.integers(1, 9), st.integers(1, 30), st.integers(1, 30), st.integers(1, 12))
def test_an_aligned_layout_computes_the_shared_part_once(blocks, suffix, items, block):
    shared = list(range(blocks * block))
    prompts = [[*shared, *[10_000 + item] * suffix] for item in range(items)]
    assert computed_tokens(prompts, block) == len(shared) + items * suffix


def test_cache_bytes_known_answer():
    config = {"num_hidden_layers": 36, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128}
    assert kv_bytes(config, 2) == 147_456  # Qwen3-8B in bfloat16: 144 KiB a token
    assert kv_bytes({"num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 8}, 4) == 64


def test_a_format_that_tells_the_date_is_told_the_same_every_day():
    tokenizer = Letters()
    make_layout(tokenizer, "Be short.", 8)
    assert tokenizer.today == ("01 Jan 2026", "01 Jan 2026")
