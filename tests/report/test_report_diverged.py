"""Methods and settings that diverged are named, last, and without numbers, in page, terminal and summary."""

from io import StringIO

import pytest
from fake_report_run import write_fake_run
from fake_sweep import rows_of, sweep_json, write_sweep
from rich.console import Console

from ialp_jax.artifacts import InputError, read_json, write_json
from ialp_jax.divergence import Divergence
from ialp_jax.report import print_summary, write_report
from ialp_jax.report.diverged import diverged_statements
from ialp_jax.report.sweep import print_sweep, write_sweep_report

TOLD = Divergence(7, 100, ("value_loss", "params.items"), "a2c")


def printed(show, summary):
    console = Console(file=StringIO(), width=500)
    show(summary, console)
    return console.file.getvalue()


def without_numbers(out, method, seeds, told=None):
    """The run in a folder, some seeds of one method diverged."""
    results = read_json(out / "results.json")
    one = results["methods"][method]
    for values in one["per_seed"].values():
        for seed in seeds:
            values[seed] = None
    one["diverged"] = [{"seed": seed, **TOLD.record()} for seed in seeds] if told is None else told
    write_json(out / "results.json", results)


def test_a_method_of_which_a_seed_diverged_counts_as_the_last(tmp_path):
    write_fake_run(tmp_path)
    without_numbers(tmp_path, "random", [3])
    summary = write_report(tmp_path)
    assert summary["methods"]["random"]["diverged"] == [{"seed": 3, **TOLD.record()}]
    assert summary["methods"]["random"]["mean_reward"]["mean"] is None
    said = diverged_statements(summary)
    assert len(said) == 1 and said[0].startswith(
        "random diverged in 1 of 5 seeds and counts as the last: seed 3 at update 7 of 100 of a2c: value_loss, params.items "
        "are NaN or beyond 1e+18."
    )
    assert not any("no finite value" in note for note in summary["notes"])
    assert {"random"}.isdisjoint(row[side] for row in summary["comparisons"] for side in ("method", "other"))
    terminal, page = printed(print_summary, summary), (tmp_path / "report.html").read_text(encoding="utf-8")
    assert said[0] in terminal and said[0] in page
    rows = [
        line.split() for line in terminal.splitlines() if line.startswith((" random", " popular", " oracle"))
    ]
    assert [row[0] for row in rows] == ["popular", "oracle", "random"] and rows[-1][
        1
    ] == "diverged"  # else it is the first
    assert page.index(">popular<") < page.index(">random</th>\n<td>diverged</td>")


@pytest.mark.parametrize("told", [[3], [{"seed": 3}], [{"seed": "x", **TOLD.record()}], 7])
def test_a_record_that_is_none_is_refused(tmp_path, told):
    write_fake_run(tmp_path)
    without_numbers(tmp_path, "a2c", [3], told)
    with pytest.raises(InputError, match=r"methods\.a2c\.diverged: expected a list of seeds that diverged"):
        write_report(tmp_path)


def test_many_seeds_are_counted(tmp_path):
    write_fake_run(tmp_path)
    without_numbers(tmp_path, "a2c", range(5))
    said = diverged_statements(write_report(tmp_path))[0]
    assert (
        "diverged in 5 of 5 seeds" in said
        and "seed 2 at" in said
        and "seed 3 at" not in said
        and "; and 2 more." in said
    )


def test_a_setting_that_diverged_is_named_after_all_others(tmp_path):
    axes = [{"name": "a2c.learning_rate", "values": [0.001, 1e30]}]
    rows = [*rows_of(0, [1.0, 1.1, 0.9, 1.0], {"a2c.learning_rate": 0.001}),
            *rows_of(1, [None] * 4, {"a2c.learning_rate": 1e30}, label="learning_rate 1e+30")]  # fmt: skip
    for row in rows[-2:]:
        row["diverged"] = str(TOLD)
    out = write_sweep(tmp_path / "out", rows, sweep_json(axes))
    summary = write_sweep_report(out)
    assert summary["counts"]["diverged"] == summary["counts"]["failed"] == 1
    assert summary["failed"][0]["diverged"] == [f"seed {seed} at {TOLD}" for seed in (2, 3)]
    terminal = printed(print_sweep, summary)
    assert (
        "1 setting diverged and counts as the last (learning_rate 1e+30: seed 2 at update 7 of 100 of a2c"
        in terminal
    )
    table = terminal[: terminal.index("•")]
    assert table.index("best") < table.index("diverged")
    assert f"diverged: seed 3 at {TOLD}" in (out / "report.html").read_text(encoding="utf-8")


def test_a_setting_that_diverged_before_its_training_was_cut_short_has_failed(tmp_path):
    axes = [{"name": "a2c.learning_rate", "values": [0.001, 1e30]}]
    rows = rows_of(0, [1.0, 1.1, 0.9, 1.0], {"a2c.learning_rate": 0.001})
    rows += rows_of(1, [None] * 4, {"a2c.learning_rate": 1e30}, complete=False)
    rows[-1]["diverged"] = str(TOLD)
    summary = write_sweep_report(write_sweep(tmp_path / "out", rows, sweep_json(axes, kind="halving")))
    assert summary["counts"]["failed"] == 1 and summary["counts"]["stopped_early"] == 0
