"""`ialp bench` as it is typed, and what it writes: every point, measured or left out."""

import json
import re
import sys
import weakref
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from ialp_jax import cli
from ialp_jax.artifacts import InputError
from ialp_jax.bench import peers
from ialp_jax.bench.largest import Growth
from ialp_jax.bench.measuring import interleave
from ialp_jax.bench.measuring.device import open_machine
from ialp_jax.bench.pages import page
from ialp_jax.bench.pages.table import print_results, rate, size
from ialp_jax.bench.results import Measured, Results, Skipped, Spread
from ialp_jax.bench.settings import Grid
from ialp_jax.bench.subjects.workloads import WORKLOADS
from ialp_jax.commands import bench

SMALL = ["--quick", "--repeat-seconds", "0.005", "--shape.rollout", "2", "--shape.embedding", "4", "--shape.hidden", "4", "--shape.history", "2",
         "--shape.turn-cap", "3", "--shape.population", "8"]  # fmt: skip


@pytest.fixture(autouse=True)
def hardly_any_work(monkeypatch):
    """Probes of a few operations: what is tested is that they run, not how fast."""
    monkeypatch.setitem(bench.QUICK_EFFORT, "flops_per_call", 1e5)
    monkeypatch.setitem(bench.QUICK_EFFORT, "flops_per_chunk", 1e5)


def type_(*arguments):
    bench.run([str(argument) for argument in arguments])


def type_small(out, *arguments):
    """The smallest workload there is, once."""
    type_("--what", "head_logsumexp", "--items", 40, "--repeats", 1, "--out", out, *arguments, *SMALL)


def made_results():
    """Two workloads, two catalogues, one point skipped for each reason."""
    results = Results({"device": "a <b>machine</b>", "platform": "cpu", "cores": 2, "processor": "p"},
                      {"effort": {"repeats": 3}, "shape": {"turn_cap": 20}}, {"jax": "0"}, date="today", seconds=1.0)  # fmt: skip
    for name in ("a2c", "environment"):
        for items in (300, 3000):
            for users in (64, 1024):
                speed = 1e5 + users * 1e4 / items  # nearly level: a short axis
                results.points.append(
                    Measured(
                        name, users, items, Spread(speed, 0.9 * speed, 1.2 * speed), 1e9 / speed, 3.25, 2.0,
                        Spread(1.0, 0.9, 1.2),
                        {"matmul": 0.3, "exponential": 0.1, "bytes": 0.2, "total": 0.4, "bound": "arithmetic"},
                        0.4, {"temporary": 1_500_000, "arguments": 10, "outputs": 0, "total": 1_500_010},
                        {"needed": 10.0, "traced": 12.0, "xla": None}, int(speed), 1, "blocked" if name == "a2c" else "",
                        departures=0.1 if name == "a2c" else None,
                    )
                )  # fmt: skip
    results.skipped = [
        Skipped("head", 65_536, 300_000, "memory", "the compiled program needs 78.6 GB"),
        Skipped("a2c", 65_536, 30_000, "call", "one call takes at least 99.0 s"),
        Skipped("ialp", 1, 301, "budget", "with it the run would take 106 s"),
        Skipped("ialp", 2, 301, "budget", "with it the run would take 107 s"),
    ]
    results.rates = [{"group": 1, "items": 300, "matmul": {1: 1e9}, "exponential": 2e9, "copy": {65536: 3e9}}]
    return results


def test_command_writes_every_point(tmp_path, batched_keys, capsys):
    type_("--what", "head", "head_logsumexp", "--users", 4, 8, "--items", 40, 60, "--repeats", 2, "--device",
          "cpu", "--out", tmp_path, *SMALL)  # fmt: skip
    found = json.loads((tmp_path / "bench.json").read_text())
    points = {(point["workload"], point["users"], point["items"]) for point in found["points"]}
    assert points == {(name, u, n) for name in ("head", "head_logsumexp") for u in (4, 8) for n in (40, 60)}
    for point in found["points"]:
        speed = point["steps_per_s"]
        assert 0 < speed["low"] <= speed["median"] <= speed["high"]
        assert point["problem"] is None and point["fraction"] > 0
        assert point["first_result_s"] > point["compile_s"] > 0
        assert speed["median"] == pytest.approx(point["steps_per_call"] / point["call_s"]["median"])
        assert point["fraction"] == pytest.approx(point["floor_s"]["total"] / point["call_s"]["median"])
    assert found["machine"]["platform"] == "cpu" and found["skipped"] == []
    assert "catalogue head" in capsys.readouterr().out
    text = (tmp_path / "bench.html").read_text()
    assert text.count("<svg ") == 1 and not re.search(r"(src|href)=.(?!#)", text)


def test_programs_make_room_for_the_next_group(tmp_path, monkeypatch):
    """Three at a time are one too many: whatever still held a group would cut the next one short."""
    built, workload = [], WORKLOADS["head_logsumexp"]

    def build(*arguments):
        program = workload.build(*arguments)
        built.append(weakref.ref(program))
        return program

    monkeypatch.setitem(WORKLOADS, "head_logsumexp", replace(workload, build=build))
    monkeypatch.setattr(interleave, "crowded", lambda: sum(one() is not None for one in built) > 2)
    type_small(tmp_path, "--users", *range(1, 7))
    found = json.loads((tmp_path / "bench.json").read_text())
    assert [point["users"] for point in found["points"]] == [1, 2, 3, 4, 5, 6] and found["skipped"] == []
    assert [entry["group"] for entry in found["rates"]] == [1, 2, 3]  # the machine is measured with each
    assert "40 items, group 3: exponentials/s" in (tmp_path / "bench.html").read_text()


def test_what_is_measured_is_kept_whatever_happens_later(tmp_path, monkeypatch):
    def fails(*arguments):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(Growth, "along", fails)
    with pytest.raises(RuntimeError, match="out of memory"):
        type_small(tmp_path, "--users", 2, "--largest", "a2c")
    (point,) = json.loads((tmp_path / "bench.json").read_text())["points"]
    assert point["users"] == 2 and (tmp_path / "bench.html").exists()


@pytest.mark.parametrize(
    ("limit", "option"), [("memory", ["--memory-gb", "1e-6"]), ("call", ["--longest-call", "1e-9"]),
                          ("budget", ["--budget", "0"])],
)  # fmt: skip
def test_points_that_do_not_fit_are_skipped_and_said(tmp_path, limit, option, capsys):
    type_small(tmp_path, "--users", 4, *option)
    found = json.loads((tmp_path / "bench.json").read_text())
    assert found["points"] == []
    (skipped,) = found["skipped"]
    assert (skipped["workload"], skipped["users"], skipped["items"], skipped["limit"]) == (
        "head_logsumexp", 4, 40, limit)  # fmt: skip
    assert re.search(r"\d", skipped["why"])
    assert "left out" in capsys.readouterr().out
    assert "Left out" in (tmp_path / "bench.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        (["--what", "a2d"], "--what"),
        (["--users", "0"], "column users"),
        (["--items", "30"], "--items"),
        (["--repeats", "0"], "column repeats"),
        (["--device", "gpu"], "--device"),
        (["--peers", "nowhere/run.py"], "--peers"),
    ],
)
def test_bad_input_is_one_line(arguments, place):
    with pytest.raises(InputError, match=place):
        type_(*arguments)


def test_command_is_found_and_lists_its_workloads(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["ialp", "bench", "--list"])
    cli.main()
    shown = capsys.readouterr().out
    assert all(name in shown for name in WORKLOADS)


def test_quick_and_full_grids():
    quick = bench.grid_of(bench.Bench(quick=True), tuple(WORKLOADS)).points()
    assert (
        quick[0].users == 1024
        and quick[0].items == 3000
        and len(quick) == 4 * (len(WORKLOADS) - len(bench.NOT_QUICK))
    )
    full = bench.grid_of(bench.Bench(), tuple(WORKLOADS))
    assert (min(full.users), max(full.users)) == (1, 65_536)
    assert full.items == (300, 3000, 30_000, 300_000)
    assert len(set(full.points())) == len(full.users) * len(full.items) * len(WORKLOADS)
    assert bench.effort_of(bench.Bench(quick=True), "cpu").budget < 120
    assert (
        bench.effort_of(bench.Bench(), "gpu").flops_per_call
        > bench.effort_of(bench.Bench(), "cpu").flops_per_call
    )


def test_points_nearest_to_the_first_come_first():
    points = Grid(("a",), (1, 1024), (300, 3000), (1024, 3000)).points()
    assert [(point.users, point.items) for point in points] == [
        (1024, 3000),
        (1024, 300),
        (1, 3000),
        (1, 300),
    ]


def test_page_holds_points_skipped_and_escapes():
    results = made_results()
    text = page.render(results)
    assert "a &lt;b&gt;machine&lt;/b&gt;" in text and "<b>machine" not in text
    for title in (WORKLOADS["a2c"].title, "environment only"):
        assert f"<h2>{title}</h2>" in text
    for skipped in results.skipped:
        assert skipped.why in text
    assert "not finite" not in text
    assert text.count('<td class="nowrap">3.2 s</td>') == len(results.points)
    for colour in ("#E69F00", "#D55E00"):  # one line per catalogue
        assert colour.lower() in text.lower()
    assert "stroke-dasharray" in text and "mathdefault" not in text


def test_page_warns_of_meaningless_numbers():
    results = made_results()
    results.points[0] = Measured(**{**vars(results.points[0]), "problem": "an output is not finite"})
    assert "an output is not finite" in page.render(results)


def test_page_without_points_is_a_page():
    results = made_results()
    results.points = []
    assert "<svg" not in page.render(results)


def test_table_names_what_was_left_out(capsys):
    print_results(made_results(), Console(width=150))
    shown = " ".join(capsys.readouterr().out.split())
    assert "78.6 GB" in shown and "99.0 s" in shown
    assert "ialp 1 x 301, ialp 2 x 301" in shown and "106 s" in shown and "107 s" not in shown


def test_ratios_are_at_the_same_users_and_at_the_best():
    results = made_results()
    results.peers = [
        {
            "peer": "torch",
            "what": "a2c",
            "users": 64,
            "items": 3000,
            "steps_per_s": 1000.0,
            "settings": {"threads": 2},
        },
        {"peer": "loop", "what": "environment", "users": 1, "items": 3000, "steps_per_s": 10.0},
        {"peer": "other", "what": "environment", "users": 64, "items": 77, "steps_per_s": 10.0},
    ]
    torch, loop, other = peers.ratios(results)
    assert torch.ours == pytest.approx(1e5 + 64e4 / 3000) and torch.best == pytest.approx(1e5 + 1024e4 / 3000)
    assert loop.ours is None and loop.best == pytest.approx(1e5 + 1024e4 / 3000)
    assert other.ours is None and other.best is None
    text = page.render(results)
    assert "103.4x" in text and "threads 2" in text and "not measured" in text


def test_the_work_that_departed_users_would_cost_is_said(capsys):
    results = made_results()  # sessions of 10 turns on average, at most 20
    assert {point.idle_if_synchronous(20) for point in results.points} == {0.5, None}
    print_results(results, Console(width=200))
    assert "50% of the steps of training would have" in " ".join(capsys.readouterr().out.split())
    assert "50% of the steps of training would have" in page.render(results)


def test_failing_peers_cost_nothing_that_was_measured(tmp_path):
    program = tmp_path / "run.py"
    program.write_text("raise RuntimeError('no such card')\n")
    with pytest.raises(InputError, match="no such card"):
        type_(*SMALL, "--what", "head", "--users", 2, "--items", 40, "--out", tmp_path, "--peers", program)
    points = json.loads((tmp_path / "bench.json").read_text())["points"]
    assert [point["workload"] for point in points] == ["head"] and (tmp_path / "bench.html").exists()


def test_peers_are_run_in_the_middle(tmp_path):
    program = tmp_path / "run.py"
    program.write_text(
        "import json, sys\n"
        "rows = [{'peer': 'p', 'what': 'a2c', 'users': 1, 'items': 3, 'steps_per_s': 2.0, 'best': best} for best in (0, 1)]\n"
        "assert '--quick' in sys.argv\n"
        "open(sys.argv[sys.argv.index('--out') + 1], 'w').write(json.dumps({'rows': rows}))\n"
    )
    found = peers.Peers()
    peers.halfway(program, found, quick=True)()
    assert [row["best"] for row in found.rows] == [1] and found.failure is None
    with pytest.raises(InputError, match="AssertionError"):
        peers.run_peers(program, quick=False)


def test_our_peers_program_is_where_make_says():
    root = Path(__file__).resolve().parents[2]
    assert "--peers experiments/peers/run.py" in (root / "Makefile").read_text()
    peers.check_program(root / "experiments" / "peers" / "run.py")


def test_machine_is_described():
    machine = open_machine("cpu", None)
    assert machine.memory > 1e8 and machine.description["platform"] == "cpu"
    assert open_machine("cpu", 5e9).memory == 5e9


@pytest.mark.parametrize(
    ("value", "text"), [(97_123.0, "97.1 k"), (1.76e6, "1.76 M"), (999_900.0, "1,000 k"), (12.0, "12")]
)
def test_rates_read_well(value, text):
    assert rate(value) == text


def test_sizes_read_well():
    assert (size(2_340_000), size(1.5e9)) == ("2.3 MB", "1.50 GB")
