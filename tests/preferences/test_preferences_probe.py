"""A few pairs before a job is paid for: what is asked, what is said, and what goes on."""

import io
import math
import sys
from contextlib import nullcontext
from itertools import pairwise

import numpy as np
import pytest
from fake_chat_server import completion
from rich.console import Console

from ialp_jax import cli
from ialp_jax.artifacts import InputError
from ialp_jax.preferences.candidates import CandidateConfig
from ialp_jax.preferences.job.job import open_job
from ialp_jax.preferences.job.plan import plan_job
from ialp_jax.preferences.job.probe import probe
from ialp_jax.preferences.judges import JudgeInfo, Judgement


class Talker:
    """Gives its labels a probability in all, and answers in turn."""

    def __init__(self, mass, answers=("No", "No", "This"), test_double=False, labels=("yes", "no")):
        self.mass, self.answers, self.asked = mass, answers, []
        settings = {"labels": list(labels)} if labels else {}
        self.info = JudgeInfo("talker", True, "m", "1", "", settings, "A test's judge.", test_double)

    def judge(self, requests):
        self.asked += requests
        ends = np.cumsum([0, *(len(request.items) for request in requests)])
        return [self._judge(range(start, end)) for start, end in pairwise(ends)]

    def _judge(self, places):
        answers = [self.answers[place % len(self.answers)] for place in places]
        scores = np.array(
            [math.nan if answer.startswith("rejected") else 0.25 for answer in answers], np.float32
        )
        logs = (
            () if self.mass is None else np.log([[self.mass * part] * len(answers) for part in (0.25, 0.75)])
        )
        return Judgement(scores, answers, *logs)


@pytest.fixture
def probed(make_dataset, tmp_path):
    """Probes a planned job with a judge; what was said."""

    def run(judge, pairs=6):
        plan_job(make_dataset(), CandidateConfig(similar=4, popular=3, random=2), tmp_path)
        job = open_job(tmp_path, judge.info, states_per_shard=5)
        console = Console(file=io.StringIO(), width=500)
        probe(job, judge, range(1, job.num_shards), pairs, console)
        assert job.missing(range(job.num_shards)) == list(range(job.num_shards))  # nothing is written
        return console.file.getvalue()

    return run


def test_a_judge_that_answers_in_its_labels_goes_on_and_is_told(probed):
    judge = Talker(0.9, ("yes", "no", "no"))
    said = probed(judge)
    assert "The label mass of the first 6 pairs is 0.9." in said
    assert 'Asked for "yes" or "no", it most often answered "no" (67%), "yes" (33%).' in said
    assert [request.state for request in judge.asked] == list(
        range(5, 11)
    )  # of the missing shards, one pair each
    assert (
        {len(request.items) for request in judge.asked}
        == {len(request.item_texts) for request in judge.asked}
        == {1}
    )


def test_one_that_does_not_is_refused_with_its_answers_and_the_way_on(probed):
    with pytest.raises(InputError) as caught:
        probed(Talker(0.008))
    told = str(caught.value)
    assert (
        "is 0.008" in told
        and '"No" (67%), "This" (33%)' in told
        and "--labels WORD WORD" in told
        and "--probe 0" in told
    )
    assert "the gate asks for 0.5" in told


def test_where_states_are_few_more_of_their_items_are_asked(probed):
    judge = Talker(0.9, ("yes", "no"))
    assert "first 33 pairs" in probed(judge, pairs=32)  # of 11 states
    assert {len(request.items) for request in judge.asked} == {3}


def test_a_test_double_goes_on(probed):
    assert "is 0.008" in probed(Talker(0.008, test_double=True))


@pytest.mark.parametrize(
    "judge",
    [Talker(0.008, labels=()), Talker(None), Talker(0.008, ("rejected: too long",))],
    ids=["list", "ratio", "rejected"],
)
def test_where_there_is_no_label_mass_nothing_is_said(probed, judge):
    assert probed(judge) == ""


def test_rejected_pairs_do_not_count(probed):
    assert "first 3 pairs is 0.9" in probed(Talker(0.9, ("yes", "rejected: too long")))


def test_no_pair_asks_nobody(probed):
    judge = Talker(0.008)
    assert probed(judge, pairs=0) == "" and judge.asked == []


def test_the_command_stops_before_the_first_shard_unless_told_not_to_ask(
    make_dataset, server, tmp_path, monkeypatch, capsys
):
    out = tmp_path / "job"
    plan_job(make_dataset(), CandidateConfig(similar=4, popular=3, random=2), out)
    server.rule = lambda content: completion({"The": 0.9, "no": 0.02, "yes": 0.01})
    words = ["ialp", "prefs", "judge", str(out), "openai", "--model", "m", "--base-url", server.url]
    for more, asked in ([], 1 + 16), (["--probe", "0"], 1 + 16 * 9):  # once about nobody, then pairs
        server.bodies.clear()
        monkeypatch.setattr(sys, "argv", words + more)
        with nullcontext() if more else pytest.raises(SystemExit):
            cli.main()
        assert len(server.bodies) == asked
        assert bool(list(out.glob("shard-*.parquet"))) == bool(more)
    said = " ".join(capsys.readouterr().err.split())
    assert (
        "the model does not keep to the answers that it is asked for" in said
        and 'answered "The" (100%)' in said
    )
