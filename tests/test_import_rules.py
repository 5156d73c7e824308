"""Rooms import only rooms below them, and rooms that run without JAX do not import it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import ialp_jax
from ialp_jax.methods import names

SOURCE = Path(ialp_jax.__file__).parent
# From the bottom up. A room may import those before it, wherever the import stands, in functions too.
ROOMS = (
    "durable", "installed", "artifacts", "sealed", "folders", "listing", "naming", "finite", "divergence", "health", "marks", "ranges", "values",
    "command_line", "cluster", "data", "worlds", "serving", "policies", "learning", "recommenders",
    "evaluation",
    "methods", "training", "environments", "preferences", "report", "study", "sweeps", "api", "bench", "commands", "cli", "__main__", "testing",
)  # fmt: skip
WITHOUT_JAX = (
    "durable",
    "installed",
    "artifacts",
    "sealed",
    "folders",
    "listing",
    "naming",
    "finite",
    "divergence",
    "health",
    "marks",
    "ranges",
    "values",
    "command_line",
    "data",
    "preferences",
    "report",
)


def room_of(file):
    return file.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported_rooms(file):
    """Rooms that a file names in an import."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute"
            below = [f"{node.module}.{alias.name}" for alias in node.names]
            names = below if node.module == "ialp_jax" else [node.module]
        else:
            continue
        yield from (name.split(".")[1] for name in names if name.startswith("ialp_jax."))


FILES = [file for file in SOURCE.rglob("*.py") if file.parent != SOURCE or file.name != "__init__.py"]


def test_every_room_has_its_place():
    assert {room_of(file) for file in FILES} == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_nothing_imports_upwards(room):
    below = ROOMS[: ROOMS.index(room) + 1]
    wrong = {
        f"{file.relative_to(SOURCE)} imports {imported}"
        for file in FILES
        if room_of(file) == room
        for imported in imported_rooms(file)
        if imported not in below
    }
    assert not wrong


@pytest.mark.parametrize(
    ("room", "others"),
    [("preferences", {"environments", "methods", "training"}), ("report", {"environments", "methods", "training"}),
     ("environments", {"methods", "learning"}), ("training", {"methods"}), ("bench", {"sweeps", "study", "preferences"})],
)  # fmt: skip
def test_rooms_that_stand_above_others_and_do_not_use_them(room, others):
    assert all(ROOMS.index(other) < ROOMS.index(room) for other in others)  # what the order alone would allow
    seen = {imported for file in FILES if room_of(file) == room for imported in imported_rooms(file)}
    assert not seen & others


def test_a_methods_file_imports_no_other_methods():
    """What several share stands in `methods/learners`; a stage of another method is asked of the study."""
    named = {
        file.stem: file for file in (SOURCE / "methods" / "named").glob("*.py") if file.stem != "__init__"
    }
    assert set(named) == set(names())  # a method's file is found from its name alone
    for file in named.values():
        assert "ialp_jax.methods.named" not in file.read_text(encoding="utf-8"), file


def test_rooms_for_machines_without_jax_do_not_import_it():
    """All their modules but the judges, which import their engines, and the reward model, which is fitted by JAX."""
    modules = [
        "ialp_jax." + ".".join(file.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
        for file in FILES
        if room_of(file) in WITHOUT_JAX and "judges" not in file.parts and file.name != "reward_model.py"
    ]
    program = f"import importlib, sys\nfor name in {modules!r}: importlib.import_module(name)\nsys.exit('jax' in sys.modules)"
    modules.append("ialp_jax.testing.judges")  # their engines are tested on such machines
    assert len(modules) > 60
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_nothing_unpickles_or_evaluates_text():
    """Files and answers are data: what could run code from them is not there at all."""
    modules = {"pickle", "cPickle", "cloudpickle", "dill", "marshal", "shelve", "joblib", "jsonpickle"}
    calls = {"eval", "exec", "compile", "__import__"}
    wrong = []
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            called = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
            pickled = (
                isinstance(node, ast.keyword)
                and node.arg == "allow_pickle"
                and getattr(node.value, "value", None)
            )
            if {name.split(".")[0] for name in names} & modules or called in calls or pickled:
                wrong.append(f"{file.relative_to(SOURCE)}:{node.lineno}")
    assert not wrong
