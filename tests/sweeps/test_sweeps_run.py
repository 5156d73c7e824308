"""The sweep itself: members equal single runs, programs are shared, and no interruption changes a byte."""

import io
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import polars as pl
import polars.selectors
import polars.testing
import pytest
from damage import read_part, unnoticed
from pinned import assert_pinned, sweep_numbers
from rich.console import Console
from sweep_jobs import LIMIT, RATES, begin, run_sweep, tiny_sweep

from ialp_jax import read
from ialp_jax.artifacts import InputError, read_json, write_json
from ialp_jax.folders import claimed
from ialp_jax.report.sweep.inputs import read_sweep
from ialp_jax.sealed import unseal
from ialp_jax.study import deciding
from ialp_jax.study import inputs as inputs_module
from ialp_jax.study.run import Study
from ialp_jax.sweeps import run as sweep_run
from ialp_jax.sweeps.definition import load_sweep
from ialp_jax.sweeps.execute import execute_unit, unit_file
from ialp_jax.sweeps.plan import Limits
from ialp_jax.sweeps.run import SweepJob
from ialp_jax.sweeps.space import Axis, Search
from ialp_jax.sweeps.tables import scores, write_tables
from ialp_jax.sweeps.units import Round, Run, Unit, load_rounds, load_unit
from ialp_jax.sweeps.worlds import Worlds
from ialp_jax.training.loop import programs_compiled

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("batched_keys")]
ADAPT = Axis("methods.a_ialp_ap_mixture.learning_rate", values=(0.001, 0.004))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Three rates with 8 and with 16 users, two seeds: folder, what was said, programs compiled."""
    place = tmp_path_factory.mktemp("whole")
    before = programs_compiled()
    _, said = run_sweep(tiny_sweep(place, RATES, Axis("online.users", values=(8, 16))), place / "out")
    return place / "out", said, programs_compiled() - before


def results(out):
    return pl.read_parquet(out / "results.parquet")


def test_one_program_per_static_bucket_and_one_row_per_run(whole):
    out, said, programs = whole
    found = results(out)
    assert programs == 2 == found["axis.online.users"].n_unique()
    assert found.select("setting", "seed").rows() == [
        (setting, seed) for setting in range(6) for seed in (0, 1)
    ]
    assert found["complete"].all() and found["metric.mean_reward"].is_finite().all()
    np.testing.assert_array_equal(found["cost.online_steps"], 12 * 4 * found["axis.online.users"].to_numpy())
    assert found["cost.judgements"].sum() == found["cost.llm_calls"].sum() == 0  # A2C uses no table
    timings = pl.read_parquet(out / "timings.parquet")
    assert timings["runs"].to_list() == [3, 3, 3, 3]  # not 4 and 2: no place of the program is idle
    assert "best of 6: mean_reward" in said and "ialp train" in said


def test_no_number_has_moved(whole):
    assert_pinned("sweep", sweep_numbers(whole[0]))


def test_cautions_are_those_of_the_users_world_or_of_every_settings_own(whole, tmp_path):
    """A penalty so large that nobody has tastes; what two settings share is said once."""
    out, sweep = whole[0], load_sweep(whole[0])
    worlds = Worlds(sweep, tmp_path, Console(quiet=True))
    said = list(worlds.of(sweep.config({})).fit.cautions)
    assert (
        read_json(out / "sweep.json")["cautions"] == said and said == read_json(out / "summary.json")["notes"]
    )
    blind = tiny_sweep(tmp_path, Axis("fit.regularisation", values=(1e6, 2e6)), **{"fit.weaken": False})
    write_json(tmp_path / "sweep.json", {"cautions": []})
    settings = {number: {"fit.regularisation": value} for number, value in enumerate((1e6, 2e6))}
    job = SweepJob(blind, tmp_path, Limits())
    job._note_cautions(Worlds(blind, tmp_path, Console(quiet=True)), Round(0, settings, None))
    noted = read_json(tmp_path / "sweep.json")["cautions"]
    assert noted and all(caution.startswith("regularisation 1e+06: ") for caution in noted)
    assert any("user-blind" in caution for caution in noted)


def test_damage_of_any_file_is_found_where_it_is_read(whole, tmp_path):
    out, sweep = tmp_path / "out", load_sweep(whole[0])
    shutil.copytree(whole[0], out)
    rounds = load_rounds(out)

    def read_one(name):
        if name.parts[0] == "units":
            write_tables(sweep, out, rounds)
        elif name.parts[0] == "worlds":
            read_part(out / "worlds" / name.parts[1], name.relative_to(Path("worlds", name.parts[1])))
        elif name.parts[0] == "rounds":
            load_rounds(out)
        else:
            read_sweep(out)

    assert unnoticed(out, read_one) == []


def test_what_is_damaged_is_refused_and_made_again(whole, tmp_path):
    """Tables by the report, from the units; a unit's files by the sweep, once its folder is deleted."""
    out = tmp_path / "out"
    shutil.copytree(whole[0], out)
    table, unit = out / "results.parquet", min(out.glob("units/*"))
    expected, result = table.read_bytes(), (unit / "result.json").read_bytes()
    table.write_bytes(expected[:-9] + b"damaged  ")
    with pytest.raises(InputError, match=r"results\.parquet.*ialp report"):
        read(out)
    sweep_run.write_report(load_sweep(out), out)
    assert table.read_bytes() == expected and read(out).height == 12
    (unit / "result.json").write_bytes(result.replace(b"1", b"2"))
    for again in (
        lambda: sweep_run.write_report(load_sweep(out), out),
        lambda: run_sweep(load_sweep(out), out),
    ):
        with pytest.raises(InputError, match=f"result.json.*delete .*{unit.name}"):
            again()
    shutil.rmtree(unit)
    run_sweep(load_sweep(out), out)
    assert (unit / "result.json").read_bytes() == result and table.read_bytes() == expected
    unit_file(out, unit.name, "result.json")


def test_a_sweep_of_a_version_without_hashes_is_read_and_gone_on_with(whole, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(whole[0], out)
    places = [out, out / "rounds", *out.glob("units/*")]
    for place in places:
        (place / "manifest.json").unlink()
    assert read(out).height == 12
    sweep_run.write_report(load_sweep(out), out)
    assert not any((place / "manifest.json").exists() for place in places)
    run_sweep(load_sweep(out), out)
    assert all((place / "manifest.json").exists() for place in (out, *out.glob("units/*")))


def single(sweep, setting, out):
    """The same setting as a study of its own."""
    name, environment = sweep.environment
    Study(name, environment, None, sweep.config(setting), out, False).run(Console(quiet=True))
    return read_json(out / "results.json")["methods"][sweep.space.method]["per_seed"]


def assert_members_equal(rows, per_seed):
    for metric, values in per_seed.items():
        np.testing.assert_allclose(rows[f"metric.{metric}"], values, rtol=1e-5, err_msg=metric)


def test_a_member_of_a_sweep_is_the_run_by_itself(whole, tmp_path):
    sweep = load_sweep(whole[0])
    rows = results(whole[0]).filter(setting=3)  # the second rate, 16 users
    setting = {axis.name: rows[f"axis.{axis.name}"][0] for axis in sweep.space.axes}
    assert setting == {"methods.a2c.learning_rate": 0.003, "online.users": 16}
    assert_members_equal(rows, single(sweep, setting, tmp_path))


def test_settings_share_the_pretraining_they_have_in_common(tmp_path):
    """Two ways to pre-train and two to adapt are four settings, but two pre-trainings."""
    pretraining = Axis("pretrain.updates", values=(4, 8))
    sweep = tiny_sweep(tmp_path, pretraining, ADAPT, method="a_ialp_ap_mixture")
    run_sweep(sweep, tmp_path / "out")
    (planned,) = load_rounds(tmp_path / "out")
    stages = {stage: sum(len(unit.runs) for unit in planned.units if unit.stage == stage)
              for stage in ("iALP pre-training", "a_ialp_ap_mixture")}  # fmt: skip
    assert stages == {"iALP pre-training": 4, "a_ialp_ap_mixture": 8}
    assert_pinned("sweep_pretraining", sweep_numbers(tmp_path / "out"))
    rows = results(tmp_path / "out").filter(setting=2)
    steps = results(tmp_path / "out").sort("setting")["cost.pretraining_steps"].to_list()
    assert steps == [8 * 4 * 4] * 4 + [8 * 4 * 8] * 4 and rows["cost.judgements"].min() > 0
    assert_members_equal(rows, single(sweep, planned.settings[2], tmp_path / "single"))


def test_the_best_of_a_halving_go_on_where_they_stopped(whole, tmp_path):
    """Survivors end as if they had never been stopped; the others keep what they had reached."""
    sweep = tiny_sweep(tmp_path, Axis("methods.a2c.learning_rate", low=0.001, high=0.02, log=True),
                       search=Search("halving", settings=9, first_share=0.3))  # fmt: skip
    run_sweep(sweep, tmp_path / "out")
    rungs, found = pl.read_parquet(tmp_path / "out" / "rungs.parquet"), results(tmp_path / "out")
    first = rungs.filter(rung=0).group_by("setting").agg(pl.col("value").mean().round(9))
    first = first.sort("value", "setting", descending=[True, False])
    assert sorted(found.filter("complete")["setting"].unique()) == sorted(first["setting"][:3])
    assert set(found.filter("complete")["updates"]) == {12} and set(
        found.filter(~pl.col("complete"))["updates"]
    ) == {4}
    assert found.filter(~pl.col("complete"))["metric.coverage"].null_count() == 12
    best = int(first["setting"][0])
    setting = {"methods.a2c.learning_rate": found.filter(setting=best)["axis.methods.a2c.learning_rate"][0]}
    assert_members_equal(found.filter(setting=best), single(sweep, setting, tmp_path / "single"))


def test_the_search_ranks_as_the_page_does(whole, tmp_path):
    """By the interquartile mean: one lucky seed of five does not make a setting the best."""
    sweep = load_sweep(whole[0])
    sweep = replace(sweep, space=replace(sweep.space, seeds=5))
    values = {
        0: [1.0, 1.0, 1.0, 1.0, 9.0],
        1: [2.0, 2.0, 2.0, 2.0, 2.0],
        2: [3.0, 3.0, 3.0, 3.0, float("nan")],
    }
    runs = tuple(Run(setting, seed) for setting in values for seed in range(5))
    unit = Unit("0000-a2c-0-0", "a2c", True, "b", runs, 15, 0, 12, True)
    found = [value for of_setting in values.values() for value in of_setting]
    write_json(tmp_path / "units" / unit.name / "result.json", {"metrics": {"mean_reward": found}})
    ranked = scores(sweep, tmp_path, Round(0, {number: {} for number in values}, None, (unit,)))
    assert ranked[0] < ranked[1] and np.isnan(ranked[2])


class Killed(BaseException):
    """Nothing in the sweep catches it."""


def die_after(monkeypatch, units):
    """The process ends when the unit after these has been trained, before it has left a file."""
    count = iter(range(units + 1))

    def execute(*arguments):
        if next(count) == units:
            raise Killed
        execute_unit(*arguments)

    monkeypatch.setattr(sweep_run, "execute_unit", execute)


def test_an_adaptive_search_goes_on_after_any_unit(tmp_path, monkeypatch):
    rate = Axis("methods.a2c.learning_rate", low=0.001, high=0.02, log=True)
    sweep = tiny_sweep(tmp_path, rate, search=Search("adaptive", settings=4, batch=2))
    run_sweep(sweep, tmp_path / "whole", Limits(runs=2, devices=1))
    for units in (1, 2, 3):
        die_after(monkeypatch, units)
        with pytest.raises(Killed):
            run_sweep(sweep, tmp_path / f"{units}", Limits(runs=2, devices=1))
        monkeypatch.undo()
        run_sweep(sweep, tmp_path / f"{units}", Limits(runs=2, devices=1))
        stored = [(tmp_path / name / "results.parquet").read_bytes() for name in ("whole", f"{units}")]
        assert stored[0] == stored[1], units
    assert results(tmp_path / "whole")["axis.methods.a2c.learning_rate"].n_unique() == 4


def test_a_killed_sweep_started_again_leaves_the_same_bytes(tmp_path):
    """Killed three times: before the first unit, in the middle of one, and between two of them."""
    signs = (
        "rounds/0000.json",
        "units/0000-a2c-0-0/checkpoints/0000000004",
        "units/0000-a2c-1-0/result.json",
    )
    for sign in signs:
        process, deadline = begin(tmp_path, "broken"), time.monotonic() + LIMIT
        while not (tmp_path / "broken" / sign).exists():
            assert process.poll() is None and time.monotonic() < deadline, process.communicate()[0]
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=LIMIT)
        assert process.returncode == -signal.SIGKILL
        assert not (tmp_path / "broken" / "report.html").exists()
    for out in ("broken", "whole"):
        process = begin(tmp_path, out)
        said = process.communicate(timeout=LIMIT)[0]
        assert process.returncode == 0, said
    for name in ("results.parquet", "sweep.json"):
        stored = [(tmp_path / out / name).read_bytes() for out in ("broken", "whole")]
        assert stored[0] == stored[1], name


def test_memory_bounds_the_runs_of_a_program(tmp_path):
    """By the compiled program's own figure: with six tenths of what six runs need, three run at a time."""
    sweep, console = tiny_sweep(tmp_path, RATES), Console(file=io.StringIO(), width=200)
    with pytest.raises(InputError, match="not even one run"):
        SweepJob(sweep, tmp_path / "none", Limits(6, 1000.0, devices=1)).run(console)
    needed = 1e6 * float(console.file.getvalue().split("6 runs in one program need ")[1].split()[0])
    _, said = run_sweep(sweep, tmp_path / "narrow", Limits(6, 0.6 * needed, devices=1))
    assert "3 at a time" in said
    run_sweep(sweep, tmp_path / "wide", Limits(6, 1.1 * needed, devices=1))
    widths = {
        name: [unit.width for one in load_rounds(tmp_path / name) for unit in one.units]
        for name in ("narrow", "wide")
    }
    assert widths == {"narrow": [3, 3], "wide": [6]}
    left, right = (results(tmp_path / name).select(pl.selectors.numeric()) for name in widths)
    pl.testing.assert_frame_equal(left, right, rel_tol=1e-5)


def test_devices_share_the_runs(whole, room_to_count, tmp_path):
    """Four devices, twelve runs of which six share a program: two idle copies fill the places left."""
    sweep = load_sweep(whole[0])
    before = programs_compiled()
    run_sweep(sweep, tmp_path, Limits(runs=4, devices=4))
    assert programs_compiled() - before == 2  # planned and run with one program per bucket
    (planned,) = load_rounds(tmp_path)
    assert [(unit.width, len(unit.runs)) for unit in planned.units] == [(4, 4), (4, 2)] * 2
    assert pl.read_parquet(tmp_path / "timings.parquet")["idle_copies"].to_list() == [0, 2] * 2
    left, right = (results(out).select(pl.selectors.numeric()) for out in (whole[0], tmp_path))
    pl.testing.assert_frame_equal(left, right, rel_tol=1e-5)


def test_a_round_is_read_back_as_it_was_planned(tmp_path):
    """Lists of a field are tuples again: labels and commands are made of them."""
    unit = Unit(
        "0003-a2c-0-0",
        "a2c",
        True,
        "b",
        (Run(7, 0), Run(7, 1)),
        3,
        2,
        6,
        False,
        ((("0000-pretraining-0-0", 3),),) * 2,
        (("0002-a2c-0-0", 1),) * 2,
    )
    planned = Round(3, {7: {"simulator.rules": ("distance", "rating")}}, 6, (unit,), {"b": 1.5})
    planned.save(tmp_path)
    assert load_rounds(tmp_path) == [planned] and load_unit(tmp_path, unit.name) == (planned, unit)


def test_rungs_in_which_no_session_can_end_are_refused(tmp_path):
    search = Search("halving", settings=9, first_share=0.05)
    sweep = tiny_sweep(tmp_path, Axis("methods.a2c.entropy", low=0.001, high=0.02), search=search,
                       **{"simulator.turn_cap": 17})  # fmt: skip
    with pytest.raises(InputError, match="none need end"):
        run_sweep(sweep, tmp_path / "out")


@pytest.mark.parametrize("limits", [{"runs": 0}, {"devices": 0}, {"memory": 0.0}])
def test_limits_that_are_none_are_refused(limits):
    with pytest.raises(InputError, match="out of range"):
        Limits(**limits)


def test_other_logs_in_the_same_place_are_refused(whole, tmp_path):
    shutil.copytree(whole[0], tmp_path / "out")
    stored = read_json(tmp_path / "out" / "sweep.json")
    write_json(tmp_path / "out" / "sweep.json", stored | {"inputs": {"dataset": "another", "table": None}})
    unseal(tmp_path / "out")
    with pytest.raises(InputError, match="not those this sweep began with"):
        run_sweep(load_sweep(whole[0]), tmp_path / "out")
    assert results(tmp_path / "out").height == 12


def test_fresh_keeps_nothing(whole, tmp_path):
    shutil.copytree(whole[0], tmp_path / "out")
    other = tiny_sweep(tmp_path, Axis("methods.a2c.learning_rate", values=(0.5, 0.6)))
    with jax.debug_key_reuse(False):
        SweepJob(other, tmp_path / "out", Limits(4, devices=1), fresh=True).run(Console(quiet=True))
    assert results(tmp_path / "out")["axis.methods.a2c.learning_rate"].to_list() == [0.5, 0.5, 0.6, 0.6]


def test_a_sweep_of_an_earlier_format_is_refused_and_kept(tmp_path):
    """Its units' results would stand under other names in the same table."""
    sweep = tiny_sweep(tmp_path, RATES, search=Search("grid"))
    out = tmp_path / "out"
    out.mkdir()
    earlier = {**sweep.record(), "identity": sweep.identity, "versions": []}
    write_json(out / "sweep.json", earlier)
    with pytest.raises(InputError, match=r"earlier version.*finish it with that version"):
        run_sweep(sweep, out)
    assert read_json(out / "sweep.json") == earlier


def test_what_a_folder_holds_is_not_mixed_up(whole, tmp_path):
    other = tiny_sweep(tmp_path, Axis("methods.a2c.learning_rate", values=(0.5, 0.6)))
    with pytest.raises(InputError, match="holds another sweep"):
        run_sweep(other, whole[0])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(InputError, match="holds no sweep"):
        run_sweep(other, tmp_path / "mine")
    with claimed(whole[0], "another sweep"), pytest.raises(InputError, match="another process"):
        run_sweep(load_sweep(whole[0]), whole[0])
    before = (whole[0] / "results.parquet").read_bytes()
    run_sweep(load_sweep(whole[0]), whole[0])  # finished: nothing is run, the page is written again
    assert (whole[0] / "results.parquet").read_bytes() == before


def test_a_sweep_decides_once_and_its_settings_share_what_it_decided_from(tmp_path, monkeypatch):
    """Recorded sessions are made once; going on decides nothing anew."""
    sweep = tiny_sweep(tmp_path, RATES, **{"logged.sessions": 40, "methods.a2c.look": True})
    record, decide, calls = inputs_module.recorded_sessions, deciding._likeness, []
    monkeypatch.setattr(
        inputs_module, "recorded_sessions", lambda *given: calls.append("record") or record(*given)
    )
    monkeypatch.setattr(deciding, "_likeness", lambda *given: calls.append("decide") or decide(*given))
    _, first = run_sweep(sweep, tmp_path / "out")
    decision = load_sweep(tmp_path / "out").decision
    _, second = run_sweep(sweep, tmp_path / "out")
    assert decision.questions == ("likeness",) and sorted(calls) == ["decide", "record"]
    assert all(decision.statements[0][:60] in said for said in (first, second))
    assert load_sweep(tmp_path / "out").decision == decision
