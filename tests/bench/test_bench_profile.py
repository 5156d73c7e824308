"""Where a call's time goes, and how far a program can grow."""

import json
from types import SimpleNamespace

import pytest
from rich.console import Console

from ialp_jax.artifacts import InputError
from ialp_jax.bench.largest import FARTHEST, Growth, grow
from ialp_jax.bench.measuring.floors import Rates
from ialp_jax.bench.measuring.profile import SHOWN, Share, shares
from ialp_jax.bench.progress import Unwatched
from ialp_jax.bench.settings import Effort, Point, Shape
from ialp_jax.commands import bench

PROGRAM = """HloModule jit_step, is_scheduled=true

FileNames
1 "/home/me/src/ialp_jax/worlds/departure.py"
2 "/venv/lib/python3.12/site-packages/flax/linen/linear.py"

FunctionNames
1 "too_similar.<locals>.inner"
2 "Dense.__call__"

FileLocations
1 {file_name_id=1 function_name_id=1 line=3 end_line=3 column=1 end_column=2}
2 {file_name_id=2 function_name_id=2 line=7 end_line=7 column=1 end_column=2}

StackFrames
1 {file_location_id=1 parent_frame_id=1}
2 {file_location_id=2 parent_frame_id=2}

%body (x: f32[2]) -> f32[2] {
  %near.1 = pred[2]{0} fusion(%x), kind=kLoop, metadata={op_name="jit(step)/or" stack_frame_id=1}
  %near.2 = pred[2]{0} fusion(%x), kind=kLoop, metadata={op_name="jit(step)/and" stack_frame_id=1}
  %dot.3 = f32[2]{0} dot(%x), metadata={op_name="jit(step)/dot" stack_frame_id=2}
  ROOT %dot.4 = f32[2]{0} dot(%x), metadata={op_name="jit(step)/transpose(jvp())/dot" stack_frame_id=2}
}

ENTRY %main (x: f32[2]) -> (f32[2], s32[]) {
  %copy.5 = f32[2]{0} copy(%x)
  ROOT %while.6 = (f32[2], (s32[], s32[])) while(%copy.5), body=%body, metadata={stack_frame_id=1}
}
"""


def test_operations_are_added_up_by_the_function_they_come_from():
    seconds = {
        "near.1": 1.0,
        "near.2": 3.0,
        "dot.3": 2.0,
        "dot.4": 2.5,
        "copy.5": 1.5,
        "while.6": 10.0,
        "elsewhere": 9.0,
    }
    found = shares(seconds, dict.fromkeys(seconds, 2), PROGRAM, 2)
    assert found == [
        Share("too_similar", "ialp_jax/worlds/departure.py", 2e9, 0.4, 4, "near.2"),
        Share("Dense.__call__, backward", "flax/linen/linear.py", 1.25e9, 0.25, 2, "dot.4"),
        Share("Dense.__call__", "flax/linen/linear.py", 1e9, 0.2, 2, "dot.3"),
        Share("copy (XLA's own)", "", 0.75e9, 0.15, 2, "copy.5"),
    ]


def test_a_program_that_does_not_say_where_its_operations_come_from():
    program = PROGRAM[PROGRAM.index("%body") :]
    found = shares({"near.1": 1.0, "dot.3": 3.0}, {"near.1": 1, "dot.3": 1}, program, 1)
    assert [(share.function, share.share) for share in found] == [
        ("dot (XLA's own)", 0.75),
        ("fusion (XLA's own)", 0.25),
    ]
    assert shares({"near.1": 1.0}, {"near.1": 1}, "", 1) == []


def test_small_functions_are_one_line():
    count = SHOWN + 5
    program = "\n".join(f"  %op.{i} = f32[] kind{i}(%x)" for i in range(count))
    found = shares(
        {f"op.{i}": 1.0 + (i == 7) for i in range(count)}, {f"op.{i}": 1 for i in range(count)}, program, 5
    )
    assert len(found) == SHOWN + 1 and found[0].largest == "op.7" and found[-1].function == "5 others"
    assert sum(share.share for share in found) == pytest.approx(1.0) and found[
        -1
    ].ns_per_step == pytest.approx(1e9)


def compiled_of(point):
    """A program of one byte per user and item."""
    return SimpleNamespace(total=point.users * point.items)


@pytest.mark.parametrize(("axis", "users", "items"), [("users", 8, 10), ("items", 1, 80)])
def test_a_program_grows_until_twice_the_size_does_not_fit(axis, users, items):
    point, ready, refused = grow(Point("a2c", 1, 10), axis, 80.0, compiled_of)
    assert (point.users, point.items, ready.total, refused) == (users, items, 80, 160)


def test_growing_ends_somewhere():
    point, _, refused = grow(Point("a2c", 1, 10), "users", 1e30, compiled_of)
    assert point.users == FARTHEST and refused is None


def test_command_profiles_and_grows(tmp_path, monkeypatch, batched_keys, capsys):
    monkeypatch.setattr(bench, "Console", lambda width=None: Console(width=200))
    for name, value in {"flops_per_call": 1e5, "flops_per_chunk": 1e5}.items():
        monkeypatch.setitem(bench.QUICK_EFFORT, name, value)
    bench.run(["--quick", "--repeat-seconds", "0.005", "--repeats", "1", "--shape.population", "8", "--device", "cpu",
               "--what", "environment", "--users", "8", "--items", "40", "--profile", "--largest", "head_logsumexp",
               "--memory-gb", "0.03", "--longest-call", "1000", "--out", str(tmp_path)])  # fmt: skip
    found = json.loads((tmp_path / "bench.json").read_text())
    (point,) = found["points"]
    simulated = [
        share["function"] for share in point["profile"] if share["file"] == "ialp_jax/worlds/simulator.py"
    ]
    assert simulated  # which of them take long enough to be named is the machine's affair
    assert sum(share["share"] for share in point["profile"]) == pytest.approx(1.0)
    # Of a call of a hundredth of the updates of the timed one.
    total = sum(share["ns_per_step"] for share in point["profile"])
    assert 0.05 < total / point["ns_per_step"] < 20
    users, items = found["largest"]
    assert (users["axis"], items["axis"]) == ("users", "items")
    for grown in (users, items):
        assert grown["bytes"] <= 0.03e9 < grown["refused_bytes"] and grown["steps_per_s"] > 0
    assert (
        users["users"] > 1024 and users["items"] == 3000 and items["items"] > 3000 and items["users"] == 1024
    )
    shown, page = capsys.readouterr().out, (tmp_path / "bench.html").read_text()
    for text in (shown, page):
        assert "Where the time goes" in text and simulated[0] in text and "How far they grow" in text


def test_what_does_not_even_fit_at_first_is_said():
    growth = Growth(Shape(), Effort(), 1e3, {3000: Rates({1: 1e9}, 1e9, {1: 1e9})})
    found = growth.along("items", Point("head_logsumexp", 4, 3000), Unwatched())
    assert (found.users, found.items, found.steps_per_s, found.refused_bytes) == (4, 3000, None, None)
    assert found.bytes > 1e3 and "does not fit" in found.note


def test_growing_an_unknown_workload_is_one_line():
    with pytest.raises(InputError, match="--largest"):
        bench.run(["--largest", "a2d"])
