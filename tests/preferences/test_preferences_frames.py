"""What stands before a title: known words, what of a history is told, and titles that a job keeps."""

import sys

import numpy as np
import polars as pl
import pytest

from ialp_jax import cli
from ialp_jax.artifacts import InputError, write_manifest
from ialp_jax.preferences.candidates import CandidateConfig
from ialp_jax.preferences.job.plan import plan_job
from ialp_jax.preferences.job.requests import FOLDER, KIND, Requests
from ialp_jax.preferences.judges import JudgeInfo, Judgement, judge_module
from ialp_jax.preferences.judges.base import JudgeContext, JudgeRequest, require_known
from ialp_jax.preferences.prompting import torch_models
from ialp_jax.preferences.prompting.frames import continuation, frame, frame_hash, liked
from ialp_jax.preferences.prompting.kept import cache_folder, kept_arrays
from ialp_jax.preferences.prompting.prompts import TEMPLATES

CANDIDATES = CandidateConfig(similar=4, popular=3, random=2)


@pytest.mark.parametrize(
    ("framing", "titles", "expected"),
    [
        ("sentence", (), "A person also likes the video game"),
        ("sentence", ("A",), "A person who liked the video game A also likes the video game"),
        ("sentence", ("A", "B"), "A person who liked the video games A and B also likes the video game"),
        (
            "sentence",
            ("A", "B", "C"),
            "A person who liked the video games A, B and C also likes the video game",
        ),
        ("list", (), "Favourite video games:"),
        ("list", ("A", "B"), "Favourite video games: A, B,"),
    ],
)
def test_frames_are_these_words(framing, titles, expected):
    assert frame("games", framing, titles) == expected
    assert continuation("Portal 2") == " Portal 2"


def test_every_domain_has_frames_of_its_own():
    assert len({frame_hash(domain) for domain in TEMPLATES}) == len(TEMPLATES)


def test_the_best_liked_are_told_last_and_of_equal_grades_the_latest():
    history, grades = (10, 11, 12, 13, 14), (0.9, 0.3, 0.6, 0.9, 0.4)
    assert liked(history, grades, 0.4, 10) == [14, 12, 10, 13]
    assert liked(history, grades, 0.4, 2) == [10, 13]
    assert liked(history, grades, 0.95, 2) == liked((), (), 0.0, 3) == []


def test_requests_keep_titles_and_an_earlier_versions_job_gets_them_by_planning_again(make_dataset, tmp_path):
    dataset = make_dataset()
    requests = plan_job(dataset, CANDIDATES, tmp_path)
    titles = tuple(dataset.items["title"].to_list())
    loaded = Requests.load(tmp_path / FOLDER)
    assert requests.context.titles == loaded.context.titles == titles
    earlier = pl.read_parquet(tmp_path / FOLDER / "items.parquet").drop("title")
    earlier.write_parquet(tmp_path / FOLDER / "items.parquet")
    config = {"domain": loaded.domain, "feedback": loaded.feedback, "source": loaded.source, "logs": {},
              "content": loaded.fingerprint()}  # fmt: skip
    write_manifest(
        tmp_path / FOLDER, KIND, config, {"dataset": loaded.source["dataset"]}, list(loaded.statements)
    )
    (tmp_path / "job.json").write_text("{}")
    assert Requests.load(tmp_path / FOLDER).context.titles is None
    plan_job(dataset, CANDIDATES, tmp_path)
    assert Requests.load(tmp_path / FOLDER).context.titles == titles
    assert (tmp_path / "job.json").exists()  # the same job


@pytest.mark.parametrize(
    ("request_", "users", "told"),
    [
        (
            JudgeRequest(3, 0, "", (), (), (2, 5), ()),
            None,
            "column items: state 3: 5 is none of the ids 0 to 4",
        ),
        (JudgeRequest(3, 0, "", (-1,), (0.5,), (2,), ()), None, "column history: state 3: -1 is none"),
        (JudgeRequest(3, 7, "", (), (), (2,), ()), 7, "column user: state 3: 7 is none of the ids 0 to 6"),
    ],
)
def test_ids_that_the_logs_do_not_have_are_named(request_, users, told):
    with pytest.raises(InputError, match=told):
        require_known(request_, 5, users)
    require_known(JudgeRequest(3, 7, "", (0,), (0.5,), (2, 4), ()), 5)


@pytest.mark.parametrize("name", ["likelihood", "embedding"])
def test_without_pytorch_one_error_says_what_to_do(name, monkeypatch):
    monkeypatch.setattr(torch_models, "find_spec", lambda package: None if package == "torch" else object())
    module = judge_module(name)
    with pytest.raises(InputError) as caught:
        module.build(JudgeContext("games", "implicit", titles=("A",)), module.Config(model="m"))
    assert f"the judge '{name}' needs torch, not installed" in str(caught.value)
    assert f"make prefs JUDGE={name}" in str(caught.value) and "ialp-jax[transformers]" in str(caught.value)


def test_kept_arrays_are_made_once(tmp_path, monkeypatch):
    made = []

    def make():
        made.append(1)
        return {"a": np.arange(3.0)}

    for _ in range(2):
        np.testing.assert_array_equal(
            kept_arrays(tmp_path / "deep", "name", {"a": (3,)}, make)["a"], [0, 1, 2]
        )
    assert made == [1] and [file.name for file in (tmp_path / "deep").iterdir()] == ["name.npz"]
    with pytest.raises(InputError, match=r"name\.npz: it holds arrays .*delete it and run again"):
        kept_arrays(tmp_path / "deep", "name", {"a": (4,)}, make)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder(None) == tmp_path / "ialp-jax" and cache_folder(tmp_path) == tmp_path


class Counted:
    """A judge that tells its costs, and would cost more to be asked."""

    info = JudgeInfo(
        "counted", True, "m", "1", "", {"framing": "list", "most_liked": 2, "least_grade": 0.0}, "It judged."
    )

    def judge(self, requests):
        return [
            Judgement(np.full(len(one.items), 0.5, np.float32), ["log P"] * len(one.items))
            for one in requests
        ]


def test_what_such_a_judge_read_is_shown(make_dataset, tmp_path, monkeypatch, capsys):
    from ialp_jax.preferences.job.job import finish_job, judge_shard, open_job

    requests = plan_job(make_dataset(), CANDIDATES, tmp_path)
    job = open_job(tmp_path, Counted.info)
    for shard in range(job.num_shards):
        judge_shard(job, Counted(), shard)
    finish_job(job)
    monkeypatch.setattr(sys, "argv", ["ialp", "prefs", "show", str(tmp_path), "--state", "0"])
    cli.main()
    said = " ".join(capsys.readouterr().out.split())
    asked = requests.make(0)
    told = liked(asked.history, asked.history_grades, 0.0, 2)
    before = frame(requests.domain, "list", [requests.titles[item] for item in told])
    assert f"read on its own {before}" in said and "Judging only by this history" not in said
