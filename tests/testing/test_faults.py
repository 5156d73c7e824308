"""Every kind of fault at file operations of what writes here; and that the harness sees what is written badly.

All boundaries of all works: python tests/reference/fault_cases.py.
"""

import os

import fault_cases
import pytest
from fault_cases import CASES, WHOLE, old_and_new

from ialp_jax.artifacts import InputError, writing
from ialp_jax.testing.faults import Case, Outcome, operations, outcomes

pytestmark = pytest.mark.usefixtures("batched_keys")
MOST = 4
"""Boundaries of each work that are tried here."""


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_no_fault_loses_anything(case, tmp_path):
    """At a few boundaries, which are others in each work, and at the end; and the work can then be done."""
    count = len(operations(case, tmp_path / "counted"))
    step = -(-count // MOST)
    boundaries = [*range(CASES.index(case) % step, count - 1, step), count - 1]
    tried = list(outcomes(case, tmp_path / "tried", boundaries))
    assert [outcome for outcome in tried if not outcome.well or outcome.again != "same"] == []
    assert {outcome.boundary for outcome in tried} == set(boundaries)


@pytest.mark.parametrize("names", [[], ["study"], ["json", "sweep"]])
def test_the_command_tries_all_works_or_those_that_are_named_and_counts_how_they_end(
    names, monkeypatch, capsys
):
    ends = [
        ("killed", "sound", "same", True),
        ("done", "sound", "refused: full", True),
        ("done", "WRONG", "same", False),
    ]

    def some(case, folder):
        return [Outcome(case.name, number, "write a", "killed", *end) for number, end in enumerate(ends)]

    monkeypatch.setattr(fault_cases, "outcomes", some)
    works = names or [case.name for case in (*CASES, *WHOLE)]
    assert fault_cases.main(names) == 1
    said = capsys.readouterr().out.splitlines()
    assert [
        row.split(" boundaries")[0].rsplit(maxsplit=1)[0] for row in said if " boundaries " in row
    ] == works
    assert said[-1] == f"{len(works)} faults were lost or silently wrong"
    assert " 3 boundaries    3 faults    1 the same    1 refused" in said[-2]


def test_a_work_that_there_is_not_is_refused():
    with pytest.raises(SystemExit, match="no work named preference; there are: json, arrays"):
        fault_cases.main(["json", "preference"])


def wrong(case, folder):
    """The faults that are found wrong in a case, each an operation's kind and what happened there."""
    return {(one.operation.split()[0], one.fault) for one in outcomes(case, folder) if not one.well}


def write_renamed(path, text, flush):
    with writing(path):
        temporary = path.with_name("temporary")
        with open(temporary, "w") as stream:
            stream.write(text)
            stream.flush()
            if flush:
                os.fsync(stream.fileno())
        os.replace(temporary, path)


def read_text(path):
    return path.read_text()


def test_what_is_written_in_place_is_found(tmp_path):
    case = Case(
        "in place", *old_and_new(lambda path, text: path.write_text(text), read_text, "older", "newer")
    )
    assert operations(case, tmp_path / "counted") == ["create it", "write it", "the end"]
    assert wrong(case, tmp_path / "all") >= {
        ("write", "killed"), ("write", "killed within"), ("write", "disk full"), ("the", "power lost"),
    }  # fmt: skip


def test_what_is_renamed_before_it_is_on_the_disk_is_found(tmp_path):
    for flush, expected in ((True, set()), (False, {("the", "power lost")})):
        case = Case("renamed", *old_and_new(lambda path, text, flush=flush: write_renamed(path, text, flush), read_text, "older", "newer"))  # fmt: skip
        assert wrong(case, tmp_path / str(flush)) == expected


def test_work_that_does_not_go_on_is_found(tmp_path):
    """The second attempt takes a half for the whole, or trips over it."""

    def once(folder):
        (folder / "made").mkdir()
        (folder / "made" / "a").write_text("a")

    trips = Case("trips", lambda folder: None, once, lambda folder: sorted(os.listdir(folder / "made")))
    assert ("create", "killed") in wrong(trips, tmp_path / "trips")
    skips = Case(
        "skips", lambda folder: None, lambda folder: (folder / "made").exists() or once(folder), trips.result
    )
    assert ("create", "killed") in wrong(skips, tmp_path / "skips")

    def refuses(folder):
        if (folder / "made").exists():
            raise InputError("it is there", fix="remove it")
        once(folder)

    told = Case("told", lambda folder: None, refuses, trips.result)
    assert {fault for _, fault in wrong(told, tmp_path / "told")} == {
        "disk full",
        "permission lost",
    }  # the first time


def test_nothing_is_done_after_a_process_was_killed(tmp_path):
    def stubborn(folder):
        try:
            (folder / "a").write_text("a")
        finally:
            (folder / "b").mkdir()

    case = Case("stubborn", lambda folder: None, stubborn, lambda folder: None,
                lambda folder: not (folder / "b").exists() or (folder / "a").read_text() == "a")  # fmt: skip
    for one in outcomes(case, tmp_path / "it"):
        assert one.between != "WRONG" or one.fault in ("disk full", "permission lost", "power lost")
