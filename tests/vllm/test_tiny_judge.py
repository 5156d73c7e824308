"""The tiny judge trains on the judge's own prompts, reads nothing it must not, and is served as what it is."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from asked import Reference
from rich.console import Console
from scipy.special import logsumexp

from ialp_jax.artifacts import read_json
from ialp_jax.data.build import DataConfig
from ialp_jax.data.synthetic import SyntheticConfig, generate
from ialp_jax.preferences.candidates import CandidateConfig
from ialp_jax.preferences.job.plan import plan_job
from ialp_jax.preferences.prompting import prompts
from ialp_jax.preferences.prompting.layout import label_tokens
from ialp_jax.preferences.prompting.model_files import NOTE

sys.path.insert(0, str(Path(__file__).parents[2] / "experiments"))

import tiny_judge  # noqa: E402
from tiny_judge_questions import Histories, make_tokenizer, pack, word_vectors  # noqa: E402

SETTINGS = tiny_judge.Settings(catalogue_steps=8, epochs=2, batch=4, check_users=8, vocabulary=2000)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Threads that wait for each other take ten times as long where other processes compute."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def dataset():
    return generate(SyntheticConfig(num_users=80, num_items=60, mean_interactions=12), DataConfig())


@pytest.fixture(scope="module")
def course(dataset):
    users = Histories.of(dataset)
    return tiny_judge.Course.of(users, make_tokenizer(users, SETTINGS.vocabulary), SETTINGS)


@pytest.fixture(scope="module")
def trained(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny") / "tiny-games"
    tiny_judge.make(dataset, folder, SETTINGS, Console(quiet=True))
    return folder


def other_logs(dataset):
    """The same offline users' histories; all else of the logs differs."""
    online = dataset.users.filter(pl.col("split") == "online")["user"].to_list()
    rows = []
    for (user,), own in dataset.interactions.group_by("user", maintain_order=True):
        own = own.to_dicts()
        free = set(range(dataset.num_items)) - {row["item"] for row in own if row["part"] == "history"}
        for row in own:
            if user in online:
                row |= {"item": (row["item"] + 1) % dataset.num_items, "grade": 0.5, "part": "history"}
            elif row["part"] == "held_out":
                row |= {"item": free.pop(), "grade": 0.5, "value": 1.0}
            rows.append(row)
    return replace(dataset, interactions=pl.DataFrame(rows, schema=dataset.interactions.schema))


def test_training_reads_offline_histories_only(dataset, course):
    other = Histories.of(other_logs(dataset))
    assert vars(other) == vars(Histories.of(dataset))
    again = tiny_judge.Course.of(other, course.layout.tokenizer, SETTINGS)
    fresh = replace(course, rng=np.random.default_rng(0))
    again = replace(again, rng=np.random.default_rng(0))
    for one, two in zip(fresh.histories(fresh.users), again.histories(again.users), strict=True):
        assert torch.equal(one.ids, two.ids) and torch.equal(one.targets, two.targets)
        assert torch.equal(one.weights, two.weights)


def test_pairs_are_what_they_say(dataset):
    users, rng = Histories.of(dataset), np.random.default_rng(0)
    offline = dataset.users.filter(pl.col("split") == "offline")["user"]
    history = dataset.interactions.filter(
        pl.col("user").is_in(offline.implode()), pl.col("part") == "history"
    )
    assert sum(map(len, users.items)) == history.height
    mass = []
    for user, items in enumerate(users.items):
        met = {users.texts[item] for item in items}
        asked = tiny_judge.ask(users, user, users.popularity(), 20, rng)
        told = asked.state_text.count("\n")
        assert told == len(items) - sum(asked.liked) >= 1
        liked = {text for text, yes in zip(asked.texts, asked.liked, strict=True) if yes}
        unmet = {text for text, yes in zip(asked.texts, asked.liked, strict=True) if not yes}
        assert liked <= met and not unmet & met
        assert all(prompts.item_text(line, "") not in asked.state_text for line in liked)
        weights = np.array(asked.weights)
        mass.append(weights[~np.array(asked.liked)].sum() / sum(asked.liked))
    assert np.mean(mass) == pytest.approx(1, abs=0.05)  # even odds


def test_packed_questions_are_separate_prompts(course):
    users, layout = course.users, course.layout
    vectors = word_vectors(users, layout, SETTINGS.hidden, 0)
    model = tiny_judge.make_model(layout.tokenizer, SETTINGS, *vectors)
    rng = np.random.default_rng(1)
    questions = [tiny_judge.ask(users, user, users.popularity(), 6, rng) for user in range(5)]
    questions.append(tiny_judge.ask_catalogue(users, rng))
    with torch.no_grad():
        found = tiny_judge.answer_logits(model, pack(questions, users.domain, layout, course.labels))
        expected = [
            model(torch.tensor([layout.prefix(question.state_text, prompts.question(users.domain))
                                + layout.suffix(text)])).logits[0, -1]
            for question in questions for text in question.texts
        ]  # fmt: skip
    torch.testing.assert_close(found, torch.stack(expected), atol=1e-4, rtol=0)
    assert found.std(0).max() > 0.01  # the prompt matters, so that equality says something


def test_words_are_whole_tokens(course):
    splitter = course.layout.tokenizer.backend_tokenizer.pre_tokenizer
    pieces = splitter.pre_tokenize_str("Clancy\u2019s 2. (played more than most players)\nOpen World, yes")
    assert len(pieces) == 6
    tokens = course.layout.tokenizer.tokenize("2. (played more than most players)\nRacing, yes no")
    spelt = [course.layout.tokenizer.convert_tokens_to_string([token]) for token in tokens]
    assert spelt == ["2.", "(played more than most players)", "\n", "Racing,", "yes", "no"]
    assert len(course.labels) == 2


def test_vllm_serves_it_and_the_table_says_what_it_is(dataset, trained, judge_of, tmp_path):
    requests = plan_job(dataset, CandidateConfig(4, 4, 4), tmp_path / "prefs", states=3)
    judge, reference = judge_of(trained, requests), Reference(trained)
    note = read_json(trained / NOTE)
    assert not judge.info.is_llm and not judge.info.test_double
    assert "not a general LLM" in judge.info.statement and judge.info.statement.endswith(note["statement"])
    assert note["settings"]["epochs"] == 2 and len(note["curve"]) == 2
    asked = [requests.make(state) for state in range(requests.num_states)]
    for one, judgement in zip(asked, judge.judge(asked), strict=True):
        spelled = label_tokens(judge.layout, ("yes", "no"))
        expected = np.stack(
            [logsumexp(reference.log_p(judge.prompts(one), tokens), axis=1) for tokens in spelled], axis=1
        )
        np.testing.assert_allclose(np.stack([judgement.log_yes, judgement.log_no], 1), expected, atol=5e-5)
