"""What the pages on Python and on methods show is executed, in the tiny environment instead of the large one."""

import shlex
from pathlib import Path

import polars as pl
import pytest
from marked_blocks import marked_block
from tiny_study import FIXED, TINY

import ialp_jax
from ialp_jax import commands
from ialp_jax.artifacts import InputError
from ialp_jax.commands import dispatch
from ialp_jax.commands.methods import page
from ialp_jax.methods import get, names
from ialp_jax.testing import MethodTests

pytestmark = pytest.mark.usefixtures("batched_keys")
METHOD, PYTHON = "docs/adding-a-method.md", "docs/python.md"
SIZES = [
    word
    for name, value in FIXED.items()
    if not name.startswith("pretrain")
    for word in (f"--{name}", str(value))
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A reader's folder, with what the page on methods has them save."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "tiny.py").write_text(TINY, encoding="utf-8")
    (folder / "running_means.py").write_text(marked_block(METHOD, "method"), encoding="utf-8")
    (folder / "means.toml").write_text(marked_block(METHOD, "space", "toml"), encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def at_home(place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(place / "compiled"))


def run_block(page, name):
    """Executes a block, in the tiny environment; returns what it has named."""
    code, names = marked_block(page, name).replace('"synthetic"', '"tiny.py"'), {}
    assert len([line for line in code.splitlines() if line.strip()]) < 10
    exec(compile(code, f"{page}:{name}", "exec"), names)
    return names


def run_command(name, *more):
    """Executes a block's command, in the tiny environment."""
    words = shlex.split(marked_block(METHOD, name, "bash").replace(" synthetic ", " tiny.py "))
    assert words[0] == "ialp"
    dispatch(commands, "ialp", [*words[1:], *more])


def test_a_method_takes_about_forty_lines():
    lines = [line for line in marked_block(METHOD, "method").splitlines() if line.strip()]
    assert len([line for line in lines if not line.startswith(("from ", "import "))]) <= 45


def test_the_kit_is_pointed_to_the_file(place):
    """What it finds there is tests/testing/test_method_kit.py's."""
    kit = run_block(METHOD, "kit")["TestRunningMeans"]
    assert (
        issubclass(kit, MethodTests)
        and kit().trial.entry.options is get(str(place / "running_means.py")).options
    )


@pytest.mark.slow
def test_a_method_is_trained_as_the_page_says(place):
    run_command("train", "--seeds", "2", *SIZES)
    runs = ialp_jax.read(place / "runs/means")
    assert runs["method"].to_list() == ["running_means"] * 2 + ["random"] * 2 and runs["seed"].to_list() == [
        0,
        1,
        0,
        1,
    ]
    assert "running means" in (place / "runs/means/report.html").read_text()


@pytest.mark.slow
def test_a_method_is_swept_as_the_page_says(place):
    run_command("sweep", "--devices", "1", *SIZES)
    runs = ialp_jax.read(place / "sweeps/means")
    assert runs.height == 3 * 4 and set(runs["axis.methods.running_means.epsilon"]) == {0.01, 0.05, 0.2}


@pytest.mark.slow
def test_training_sweeping_and_reading_from_python(place, capsys):
    summary = run_block(PYTHON, "train")["summary"]
    assert (
        set(summary["methods"]) == {"a2c", "random"}
        and len(summary["methods"]["a2c"]["final_reward"]["per_seed"]) == 3
    )
    run_block(PYTHON, "sweep")
    read = run_block(PYTHON, "read")
    assert read["runs"].height == 2 * 3 and read["settings"].height == 4 * 2
    of_a2c = read["runs"].filter(pl.col("method") == "a2c")
    assert of_a2c["metric.final_reward"].to_list() == summary["methods"]["a2c"]["final_reward"]["per_seed"]
    assert of_a2c["cost.online_steps"].to_list() == [64 * 8 * 40] * 3
    assert (place / "runs/first/report.html").exists() and (place / "sweeps/first/report.html").exists()
    capsys.readouterr()
    run_block(PYTHON, "names")
    said = capsys.readouterr().out
    assert all(name in said for name in names())


def test_what_cannot_be_used_is_named(place):
    quiet = {"out": place / "nothing", "quiet": True}
    with pytest.raises(InputError, match=r"methods\.a2c\.learning_rat: there is no such field"):
        ialp_jax.train("tiny.py", methods=["a2c"], **quiet, **{"methods.a2c.learning_rat": 0.1})
    with pytest.raises(InputError, match="no method 'a3c'"):
        ialp_jax.train("tiny.py", methods=["a3c"], **quiet)
    axes = {"methods.a2c.entropy": (0.0, 0.1)}
    with pytest.raises(InputError, match=r"search\.kind: 'grit' is not known"):
        ialp_jax.sweep("tiny.py", space={"method": "a2c", "search": {"kind": "grit"}, "axes": axes}, **quiet)
    with pytest.raises(InputError, match=r"methods\.a2c\.entropy: the sweep's file decides it"):
        ialp_jax.sweep("tiny.py", space={"method": "a2c", "search": {"kind": "grid"}, "axes": axes}, **quiet,
                       **{"methods.a2c.entropy": 0.5})  # fmt: skip
    with pytest.raises(InputError, match="does not exist"):
        ialp_jax.read(place / "nothing")
    assert not (place / "nothing").exists()


def test_the_package_names_only_what_it_offers():
    assert {"train", "sweep", "read"} == set(ialp_jax.__all__)
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        ialp_jax.trian  # noqa: B018


def test_the_page_of_methods_is_what_the_registry_says():
    assert page() == (Path(__file__).parents[1] / "docs" / "methods.md").read_text(encoding="utf-8"), (
        "ialp methods --markdown > docs/methods.md"
    )
