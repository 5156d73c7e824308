"""What left its range while methods learnt stands on the page, in the summary and in one line of the terminal."""

from io import StringIO

import numpy as np
import pytest
from fake_report_run import LEVELS, write_fake_run
from rich.console import Console

from ialp_jax.artifacts import InputError, read_json, write_json
from ialp_jax.health import Invariant, left_range
from ialp_jax.report import print_summary, write_report
from ialp_jax.report.health import health_line

TITLE = "Health of the learners"
ENTROPY = Invariant("entropy", "entropy <b>", "nats", low=0.05, below="it stopped exploring; raise entropy")
SCALE = Invariant("watched.value_scale", "values against the return", high=2.0, above="they run away")
FALLEN = [[1.0, 0.5, 0.02, 0.01], *[[1.0, 0.9, 0.8, 0.7]] * 4]
SOUND = [[0.1, 0.2, None, 0.4]] * 5


def record(stage, invariant, bins):
    numbers = np.array(bins, float)
    departure = left_range(invariant, numbers, 400)
    low, high = (bound if np.isfinite(bound) else None for bound in (invariant.low, invariant.high))
    return {
        "stage": stage, "updates": 400,
        "watched": {invariant.metric: {"title": invariant.title, "unit": invariant.unit, "low": low, "high": high, "bins": bins}},
        "left": [] if departure is None else [vars(departure) | {"seeds": list(departure.seeds)}],
    }  # fmt: skip


def written(out, **health):
    write_fake_run(out, levels={name: LEVELS[name] for name in ("a2c", "ialp", "a_ialp_ft")})
    results = read_json(out / "results.json")
    for method, records in health.items():
        results["methods"][method]["health"] = records
    write_json(out / "results.json", results)
    summary = write_report(out)
    console = Console(file=StringIO(), width=500)
    print_summary(summary, console)
    return summary, (out / "report.html").read_text(encoding="utf-8"), console.file.getvalue()


def test_a_sound_run_says_so_on_its_page_and_nothing_elsewhere(tmp_path):
    summary, page, said = written(tmp_path, a2c=[record("a2c", SCALE, SOUND)])
    assert summary["health"] == [] and "Left its range" not in said
    assert TITLE in page and "Nothing that was watched left the range of a sound run." in page
    assert 'id="health-' in page and "0.1 / 0.2 / 0.4" in page and "sound up to 2" in page


def test_a_run_of_before_has_no_such_section(tmp_path):
    summary, page, _ = written(tmp_path)
    assert summary["health"] == [] and TITLE not in page


def test_what_left_its_range_is_told_with_update_seeds_bound_and_words(tmp_path):
    shared = record("pre-training", SCALE, [[0.1, 0.2, 0.3, 3.0]] * 5)
    summary, page, said = written(
        tmp_path, a2c=[record("a2c", ENTROPY, FALLEN)], ialp=[shared, record("ialp", SCALE, SOUND)],
        a_ialp_ft=[shared, record("a_ialp_ft", ENTROPY, FALLEN)],
    )  # fmt: skip
    assert summary["health"] == [
        "A2C from scratch: entropy <b> fell to 0.02 nats at update 300 of 400 in 1 of 5 seeds (at least 0.05 is sound): "
        "it stopped exploring; raise entropy.",
        "iALP, frozen: pre-training: values against the return rose to 3 at update 400 of 400 in 5 of 5 seeds (at most 2 is sound): "
        "they run away.",  # once, though two methods have the stage
        "A-iALP_ft: entropy <b> fell to 0.02 nats at update 300 of 400 in 1 of 5 seeds (at least 0.05 is sound): "
        "it stopped exploring; raise entropy.",
    ]  # fmt: skip
    (line,) = [line for line in said.splitlines() if line.startswith("Left its range: ")]
    assert line.endswith("And 1 more on the page.") and summary["health"][1] in line
    assert (
        "entropy &lt;b&gt; fell to" in page and "<b>" not in page and "Nothing that was watched" not in page
    )


def test_a_terminal_is_told_of_few():
    assert health_line(["One.", "Two."]) == "One. Two."
    assert health_line(["One."] * 5) == "One. One. And 3 more on the page."


@pytest.mark.parametrize("broken", [
    [3], [{"stage": "a2c"}], [record("a2c", SCALE, SOUND[:2])], [record("a2c", SCALE, [[]] * 5)], [record("a2c", SCALE, SOUND) | {"left": [{}]}],
])  # fmt: skip
def test_malformed_records_are_refused_by_name(tmp_path, broken):
    with pytest.raises(InputError, match=r"column methods\.a2c\.health: expected stages"):
        written(tmp_path, a2c=broken)
