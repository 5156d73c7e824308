"""A sweep as it is stored: read back as it was, damage refused by name; what kills left is removed where one begins."""

import pytest
from rich.console import Console
from sweep_jobs import RATES, tiny_sweep

from ialp_jax.artifacts import InputError, write_json
from ialp_jax.durable import UNFINISHED
from ialp_jax.sweeps import execute
from ialp_jax.sweeps.definition import Sweep, load_sweep
from ialp_jax.sweeps.plan import Limits
from ialp_jax.sweeps.run import SweepJob
from ialp_jax.sweeps.space import Search, Space

QUIET = Console(quiet=True)
PARTS = [
    "env",
    "preset",
    "data",
    "prefs",
    "changes",
    "method",
    "objective",
    "seeds",
    "search",
    "fixed",
    "axes",
]


@pytest.fixture
def stored(tmp_path):
    """A sweep's folder, and what its file holds."""
    sweep = tiny_sweep(tmp_path, RATES)
    write_json(tmp_path / "sweep.json", sweep.record())
    assert load_sweep(tmp_path) == sweep
    return tmp_path, sweep.record()


@pytest.mark.parametrize("missing", PARTS)
def test_a_field_that_is_missing_or_another_kind_is_named(stored, missing):
    out, record = stored
    write_json(out / "sweep.json", {name: value for name, value in record.items() if name != missing})
    with pytest.raises(InputError, match=f"sweep.json, column {missing}: the field is missing.*--fresh"):
        load_sweep(out)
    write_json(out / "sweep.json", record | {missing: 0.5})
    with pytest.raises(InputError, match=f"sweep.json, column {missing}: 0.5 is not what"):
        load_sweep(out)


@pytest.mark.parametrize(
    "damage", [[], None, {"axes": [3]}, {"seeds": 0}, {"preset": "tiny"}, {"objective": "wealth"}], ids=str
)
def test_what_is_no_sweep_is_refused_with_its_file(stored, damage):
    out, record = stored
    write_json(out / "sweep.json", record | damage if damage else damage)
    with pytest.raises(InputError, match=r"sweep\.json.* Fix: "):
        load_sweep(out)


def job(out, place, **options):
    return SweepJob(tiny_sweep(place, RATES), out, Limits(4, devices=1), **options)


def test_a_damaged_file_is_gone_on_with_by_nobody(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    one = job(out, tmp_path)
    for damaged in ([], one._record() | {"versions": None}):
        write_json(out / "sweep.json", damaged)
        with pytest.raises(InputError, match=r"sweep\.json.*--fresh to start anew"):
            one._open(QUIET)


def test_where_a_sweep_begins_what_kills_left_is_removed(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    job(out, tmp_path)._open(QUIET)
    left = [
        out / f".worlds.x{UNFINISHED}",
        out / "rounds" / f".0000.json.x{UNFINISHED}",
        out / "units" / "0000-a2c-0-0" / f".checkpoints.x{UNFINISHED}",
    ]
    for folder in left:
        (folder / "half").mkdir(parents=True)
    (out / "units" / "0000-a2c-0-0" / "checkpoints").mkdir()
    job(out, tmp_path)._open(QUIET)
    assert not any(folder.exists() for folder in left)
    assert [path.name for path in out.glob("units/*/*")] == ["checkpoints"]


def test_logs_that_are_not_there_make_no_sweep(tmp_path):
    space = Space("random", "mean_reward", 1, Search("grid"), {}, ())
    sweep = Sweep("steam", "quick", tmp_path / "nowhere", None, {}, space)
    with pytest.raises(InputError, match="there is no such folder"):
        SweepJob(sweep, tmp_path / "out", Limits(4, devices=1)).run(QUIET)
    assert not list(tmp_path.iterdir())


def test_a_unit_that_has_begun_is_looked_at_without_a_word(monkeypatch):
    """What is damaged there is named by training, which looks again."""

    class Begun:
        def latest(self, warn):
            warn("a run state cannot be trusted")
            return 4

    class Watch:
        warn = staticmethod(pytest.fail)

    monkeypatch.setattr(execute, "_run_states", lambda *_: Begun())
    assert execute._take_over(None, None, None, None, None, Watch(), None) is None
