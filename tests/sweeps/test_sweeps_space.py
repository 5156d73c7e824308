"""The file of a sweep: what it says is read, and what is wrong with it is named with file, key and fix."""

from dataclasses import fields
from pathlib import Path

import pytest
from own_method import OWN_METHOD

from ialp_jax import environments
from ialp_jax.artifacts import InputError
from ialp_jax.methods import get, names
from ialp_jax.study.config import preset
from ialp_jax.sweeps.reading import read_space
from ialp_jax.sweeps.search import advice, initial_settings, rungs
from ialp_jax.sweeps.settings import check_space
from ialp_jax.sweeps.space import Axis, Search, Space, rung_shares

EXAMPLES = sorted((Path(__file__).parents[2] / "experiments" / "sweeps").glob("*.toml"))
HEAD = 'method = "a2c"\n[search]\n'
AXES = '[axes]\n"methods.a2c.entropy" = [0.01, 0.1]\n'
RANGE = '"methods.a2c.learning_rate" = '


def write(folder: Path, text: str) -> Path:
    path = folder / "space.toml"
    path.write_text(text)
    return path


def test_a_file_is_read_as_it_stands(tmp_path):
    text = """
method = "a_ialp_ft"
objective = "length"
seeds = 3
[search]
kind = "halving"
settings = 18
seed = 7
start = "sobol"
eta = 2
first_share = 0.25
[fixed]
"fit.grades" = [0, 0.5, 1]
[axes]
"methods.a_ialp_ft.entropy" = {low = 0.001, high = 1, log = true}
"policy.encoder" = ["gru", "sasrec"]
"""
    search = Search("halving", 18, 7, "sobol", 2, 0.25)
    axes = (
        Axis("methods.a_ialp_ft.entropy", low=0.001, high=1.0, log=True),
        Axis("policy.encoder", ("gru", "sasrec")),
    )
    wanted = Space("a_ialp_ft", "length", 3, search, {"fit.grades": (0, 0.5, 1)}, axes)
    assert read_space(write(tmp_path, text)) == wanted


def test_what_is_left_out_has_defaults(tmp_path):
    space = read_space(write(tmp_path, HEAD + 'kind = "grid"\n' + AXES))
    assert (space.objective, space.seeds, space.search, space.fixed) == ("mean_reward", 4, Search("grid"), {})


def test_every_method_with_options_may_be_swept_and_no_other(tmp_path):
    for name in names():
        text = HEAD.replace('"a2c"', f'"{name}"') + 'kind = "grid"\n[axes]\n"online.users" = [8, 16]\n'
        if fields(get(name).options):
            assert read_space(write(tmp_path, text)).method == name
        else:
            with pytest.raises(InputError, match=f"{name} has no options"):
                read_space(write(tmp_path, text))


def test_a_methods_file_is_found_from_the_folder_of_the_sweeps_file(tmp_path):
    (tmp_path / "mine.py").write_text(OWN_METHOD, encoding="utf-8")
    text = HEAD.replace('"a2c"', '"mine.py"') + 'kind = "grid"\n[axes]\n"methods.mine.rate" = [0.1, 0.2]\n'
    assert read_space(write(tmp_path, text)).method == str(tmp_path / "mine.py")


@pytest.mark.parametrize(
    ("text", "key", "problem"),
    [
        ('method = "a2c"\n' + AXES, "search", "missing"),
        ("[search]\nkind = 'grid'\n" + AXES, "method", "missing"),
        ('method = "popular"\n[search]\nkind = "grid"\n' + AXES, "method", "has no options"),
        ('objective = "regret"\n' + HEAD + 'kind = "grid"\n' + AXES, "objective", "not known"),
        ("seeds = 0\n" + HEAD + 'kind = "grid"\n' + AXES, "seeds", "whole number from 1"),
        ("seeds = true\n" + HEAD + 'kind = "grid"\n' + AXES, "seeds", "whole number"),
        ("seed = 3\n" + HEAD + 'kind = "grid"\n' + AXES, "seed", "not known"),
        (HEAD + 'kind = "bayes"\n' + AXES, "search.kind", "not known"),
        (HEAD + 'kind = ["grid"]\n' + AXES, "search.kind", "not known"),
        (HEAD + 'kind = "random"\n' + AXES, "search.settings", "missing"),
        (HEAD + 'kind = "grid"\nsettings = 8\n' + AXES, "search.settings", "not grid"),
        (HEAD + 'kind = "random"\nsettings = 8\nbatch = 2\n' + AXES, "search.batch", "only concerns adaptive"),
        (HEAD + 'kind = "random"\nsettings = 8.0\n' + AXES, "search.settings", "whole number"),
        (HEAD + 'kind = "halving"\nsettings = 8\n' + AXES, "search.settings", "none for the last rung"),
        (HEAD + 'kind = "halving"\nsettings = 8\nfirst_share = 0.5\n' + AXES, "search.first_share", "no rung"),
        (HEAD + 'kind = "halving"\nsettings = 8\nfirst_share = 0\n' + AXES, "search.first_share", "no rung"),
        (HEAD + 'kind = "grid"\n[axes]\n', "axes", "nothing is searched"),
        ('axes = 3\nmethod = "a2c"\n[search]\nkind = "grid"\n', "axes", "no table"),
        (HEAD + 'kind = "grid"\n' + AXES + RANGE + "{low = 1e-4, high = 1e-2}", "points", "needs its number"),
        (HEAD + 'kind = "grid"\n' + AXES + RANGE + "{low = 1, high = 2, points = 1}", "points", "from 2 up"),
        (HEAD + 'kind = "sobol"\nsettings = 2\n' + AXES + RANGE + "{low = 1, high = 2, points = 3}", "points", "grid"),
        (HEAD + 'kind = "sobol"\nsettings = 2\n' + AXES + RANGE + "{low = 2, high = 2}", "rate", "not below"),
        (HEAD + 'kind = "sobol"\nsettings = 2\n' + AXES + RANGE + "{low = 0, high = 2, log = true}", "rate", "ratios"),
        (HEAD + 'kind = "sobol"\nsettings = 2\n' + AXES + RANGE + "{low = 1, high = 2, log = 1}", "log", "true nor"),
        (HEAD + 'kind = "sobol"\nsettings = 2\n' + AXES + RANGE + "{high = 2}", "rate.low", "missing"),
        (HEAD + 'kind = "sobol"\nsettings = 2\n' + AXES + RANGE + "{low = 'a', high = 2}", "rate.low", "no finite"),
        (HEAD + 'kind = "sobol"\nsettings = 2\n' + AXES + RANGE + "{low = 1, high = inf}", "rate.high", "no finite"),
        (HEAD + 'kind = "sobol"\nsettings = 2\n' + AXES + RANGE + "{low = 1, high = 2, step = 1}", "step", "not known"),
        (HEAD + 'kind = "sobol"\nsettings = 2\n' + AXES + RANGE + "0.1", "rate", "neither a list"),
        (HEAD + 'kind = "grid"\n' + AXES + RANGE + "[0.1]", "rate", "nothing to search"),
        (HEAD + 'kind = "grid"\n' + AXES + RANGE + "[0.1, 0.1]", "rate", "twice"),
        (HEAD + 'kind = "grid"\n' + AXES + RANGE + "[0.1, nan]", "rate", "no value"),
        (HEAD + 'kind = "grid"\n[fixed]\n"methods.a2c.entropy" = 0.1\n' + AXES, "entropy", "[fixed] too"),
        (HEAD + 'kind = "grid"\n[fixed]\n"x" = 1979-05-27\n' + AXES, "fixed.x", "no value"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_with_file_and_key(tmp_path, text, key, problem):
    path = write(tmp_path, text)
    with pytest.raises(InputError) as caught:
        read_space(path)
    where, _, rest = str(caught.value).partition(": ")
    assert str(path) in where and f"{key}" in where and problem in rest and "Fix: " in rest


def test_no_file_and_no_toml_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_space(tmp_path / "none.toml")
    with pytest.raises(InputError, match="not valid TOML"):
        read_space(write(tmp_path, "method = "))


def test_rungs_begin_at_the_least_share_or_above():
    assert rung_shares(Search("halving", 9, eta=3, first_share=0.1)) == pytest.approx([1 / 9, 1 / 3, 1])
    assert rung_shares(Search("halving", 9, eta=2, first_share=0.125)) == [0.125, 0.25, 0.5, 1.0]
    assert rung_shares(Search("halving", 9, eta=10, first_share=0.1)) == [0.1, 1.0]
    assert rung_shares(Search("halving", 9, eta=3, first_share=1 / 3)) == pytest.approx([1 / 3, 1])


def test_there_are_examples():
    assert {"quick_a2c", "steam_a2c_sobol", "adapt_halving", "mixture_adaptive"} <= {
        path.stem for path in EXAMPLES
    }


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
@pytest.mark.parametrize("size", ["quick", "full"])
def test_examples_can_be_run_on_every_environment(path, size):
    for name in ("synthetic", "steam", "coat"):
        config = preset(environments.get(name)[1], size)
        space = check_space(read_space(path), config, path)
        assert advice(space) == []
        if space.search.kind == "halving":
            assert rungs(space, config.online.updates, config.loop.chunk)[-1][1] == config.online.updates
        if space.search.kind != "adaptive":
            assert len(initial_settings(space)) == (space.search.settings or 8)


def test_the_quick_example_is_32_runs(tmp_path):
    (path,) = [path for path in EXAMPLES if path.stem == "quick_a2c"]
    space = check_space(read_space(path), preset(environments.get("steam")[1], "quick"), path)
    assert (len(initial_settings(space)), space.seeds) == (8, 4)
