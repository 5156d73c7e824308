"""A method in a user's own file, or of an installed package: it is tried, trained, reported and swept like those here."""

import json
import sys
import types
from importlib.metadata import EntryPoint

import polars as pl
import pytest
from own_method import OWN_METHOD
from tiny_study import FIXED, TINY

from ialp_jax.artifacts import InputError
from ialp_jax.commands import sweep, train
from ialp_jax.methods import registry
from ialp_jax.study.config import StudyConfig
from ialp_jax.testing import MethodTests

pytestmark = pytest.mark.usefixtures("batched_keys")
CHECKS = [name for name in vars(MethodTests) if name.startswith("test_")]
SIZES = {name: value for name, value in FIXED.items() if not name.startswith("pretrain")}
SPACE = """
method = "mine.py"
seeds = 2
[search]
kind = "grid"
[fixed]
{fixed}
[axes]
"methods.mine.rate" = [0.001, 0.01]
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A user's folder."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "mine.py").write_text(OWN_METHOD, encoding="utf-8")
    (folder / "tiny.py").write_text(TINY, encoding="utf-8")
    fixed = "\n".join(f'"{name}" = {value}' for name, value in SIZES.items())
    (folder / "space.toml").write_text(SPACE.format(fixed=fixed), encoding="utf-8")
    return folder


@pytest.fixture
def at_home(place, monkeypatch):
    """In that folder, with nothing of this machine's own cache."""
    monkeypatch.chdir(place)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(place / "compiled"))


@pytest.mark.parametrize("check", CHECKS)
def test_the_kit_passes_it(place, check):
    kit = type("TestMine", (MethodTests,), {"method": str(place / "mine.py")})()
    getattr(kit, check)()


@pytest.mark.slow
def test_it_is_trained_and_reported(place, at_home):
    flags = [word for name, value in SIZES.items() for word in (f"--{name}", str(value))]
    train.run(["tiny.py", "--methods", "./mine.py", "random", "--out", "out", "--seeds", "2",
               "--methods.mine.rate", "0.02", *flags])  # fmt: skip
    summary = json.loads((place / "out/summary.json").read_text())
    assert set(summary["methods"]) == {"mine", "random"}
    assert summary["methods"]["mine"]["card"]["meaning"] == "a user's own"
    assert not any("partial" in note for note in summary["notes"]), summary["notes"]
    config = json.loads((place / "out/config.json").read_text())
    assert config["methods"] == {"mine": str(place / "mine.py"), "random": "random"}
    assert config["study"]["options"]["mine"] == {"rate": 0.02}
    page = (place / "out/report.html").read_text()
    assert "a user&#39;s own" in page and "partial" not in page


@pytest.mark.slow
def test_it_is_swept(place, at_home):
    sweep.run(
        ["tiny.py", "--space", "space.toml", "--out", "swept", "--runs-per-program", "4", "--devices", "1"]
    )
    rows = pl.read_parquet(place / "swept/results.parquet")
    assert sorted(rows["axis.methods.mine.rate"].to_list()) == [0.001, 0.001, 0.01, 0.01]
    assert str(place / "mine.py") in rows["command"][0]
    assert ">mine" in (place / "swept/report.html").read_text()


@pytest.fixture
def packages(monkeypatch):
    """Installed packages, made up: a module's text by its name; the registry looks for methods anew, before and after."""
    points, taken = [], dict(registry._registered)

    def install(**modules):
        for name, text in modules.items():
            module = types.ModuleType(name)
            module.__file__ = f"{name}.py"
            monkeypatch.setitem(sys.modules, name, module)
            exec(compile(text, module.__file__, "exec"), module.__dict__)
            points.append(EntryPoint(name, name, registry.GROUP))
        registry._discover.cache_clear()

    monkeypatch.setattr(registry.importlib.metadata, "entry_points",
                        lambda group: points if group == registry.GROUP else [])  # fmt: skip
    yield install
    registry._registered.clear()
    registry._registered.update(taken)
    registry._discover.cache_clear()


def test_a_package_offers_it_by_name(packages):
    packages(package_of_mine=OWN_METHOD)
    assert "mine" in registry.names() and "mine" not in registry.default_names()
    config = StudyConfig(methods=("mine", "random"))
    assert config.method("mine").rate == 0.01 and registry.get("mine").card.meaning == "a user's own"


FILES = {
    "nothing": ("x = 1\n", r"mine\.py: the file registers no method.*Fix: decorate one class"),
    "two": (OWN_METHOD + OWN_METHOD.partition("ActorCriticLearner\n")[2].replace('"mine")\n@', '"other")\n@'),
            r"mine\.py: the file registers 2 methods, mine and other"),
    "a taken name": (OWN_METHOD.replace('@register("mine")', '@register("a2c")'),
                     r"mine\.py: a method 'a2c' is registered already, in .*a2c\.py.*choose another name"),
    "no flag's name": (OWN_METHOD.replace('@register("mine")', '@register("My-Own")'), r"mine\.py: 'My-Own' cannot be the name"),
    "no dataclass": (OWN_METHOD.replace("@dataclass(frozen=True)\n", ""), r"mine\.py: the class registered as 'mine' is no method"),
    "not frozen": (OWN_METHOD.replace("(frozen=True)", ""), r"mine\.py: the class registered as 'mine' is no method"),
    "no card": (OWN_METHOD.replace("card: ClassVar[Card]", "cards: ClassVar[Card]"), "is no method.*with `card` and `stages`"),
    "no stages": (OWN_METHOD.replace("def stages", "def steps"), "is no method.*with `card` and `stages`"),
    "a function": ('from ialp_jax.methods import register\n\n\n@register("mine")\ndef mine():\n    pass\n',
                   r"mine\.py: the class registered as 'mine' is no method"),
    "a foundation nobody has": (OWN_METHOD.replace("    card:", '    builds_on: ClassVar[tuple[str, ...]] = ("nobody",)\n    card:'),
                                "no method 'nobody'"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FILES)
def test_a_file_that_is_no_method_is_told_why(tmp_path, fault):
    text, message = FILES[fault]
    (tmp_path / "mine.py").write_text(text, encoding="utf-8")
    before = registry.names()
    with pytest.raises(InputError, match=message):
        StudyConfig(methods=(str(tmp_path / "mine.py"),))
    assert registry.names() == before


def test_two_packages_with_one_name_are_told_apart(packages):
    packages(first=OWN_METHOD)
    with pytest.raises(
        InputError, match=r"second\.py: a method 'mine' is registered already, in .*first\.py"
    ):
        packages(second=OWN_METHOD)


def test_a_package_that_cannot_be_imported_is_named(packages, monkeypatch):
    packages()
    points = [EntryPoint("theirs", "a_module_nobody_has", registry.GROUP)]
    monkeypatch.setattr(registry.importlib.metadata, "entry_points", lambda group: points)
    registry._discover.cache_clear()
    with pytest.raises(InputError, match=r"entry point 'theirs' .*a_module_nobody_has"):
        registry.names()


def test_a_changed_file_is_read_again(place, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(OWN_METHOD, encoding="utf-8")
    first = registry.get(str(path))
    assert registry.get(str(path)) is first
    path.write_text(OWN_METHOD.replace("0.01", "0.5"), encoding="utf-8")
    assert registry.get(str(path)).options().rate == 0.5 and registry.get(str(path)).source != first.source
    assert registry.get(str(place / "mine.py")).options().rate == 0.01
