"""What an environment is, and how one is found."""

import importlib.metadata
import importlib.util
import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ialp_jax.artifacts import InputError, Value
from ialp_jax.data.build import DataConfig
from ialp_jax.data.dataset import Dataset, Domain
from ialp_jax.data.synthetic import SyntheticConfig, generate
from ialp_jax.listing import import_files
from ialp_jax.values import checked
from ialp_jax.worlds.fit.config import FitConfig
from ialp_jax.worlds.simulator import SimulatorConfig

Loader = Callable[[Path, DataConfig], Dataset]
# Logs say who met what; half of an item's mean in them is counted as exposure rather than liking. At full weight a
# user-blind policy that knows the exits gets 16.5 of 20 on steam, at half 12.1 (docs/experiments.md).
PERSONAL = FitConfig(popularity_weight=0.5)
_registered: dict[str, Callable[[], "Environment"]] = {}


@dataclass(frozen=True)
@checked
class Environment:
    """Where users come from and by which rules they behave.

    Attributes:
        description: one line for `ialp envs`.
        load: reads a folder of logs; None if the environment is always synthetic.
        domain: words for prompts and synthetic items: games, music, clothes, books, movies or generic.
        data: how logs become a dataset.
        synthetic: the invented logs used where no folder is given.
        simulator: rules of a session.
        fit: how users are fitted.
        study: (dotted name, value) of fields of a study that suit it better than their defaults.
        recipe: of the methods that have one of this name, the options that suit it better; "" for none.
    """

    description: str
    load: Loader | None = None
    domain: Domain = "generic"
    data: DataConfig = DataConfig()
    synthetic: SyntheticConfig = SyntheticConfig()
    simulator: SimulatorConfig = SimulatorConfig()
    fit: FitConfig = FitConfig()
    study: tuple[tuple[str, Value], ...] = ()
    recipe: str = ""

    def dataset(self, directory: Path | None, config: DataConfig, name: str) -> Dataset:
        """Reads the logs in `directory`, or invents some if it is None (the dataset says so).

        Raises:
            InputError: if the folder is missing, or the environment reads no logs.
        """
        if directory is None:
            return replace(generate(self.synthetic, config, self.domain), name=name)
        if self.load is None:
            raise InputError(f"the environment {name!r} is always synthetic and reads no logs", column="data",
                             fix="leave DATA out, or register an environment with load=...")  # fmt: skip
        if not directory.is_dir():
            raise InputError(
                "there is no such folder", file=directory, fix="point DATA to the folder of logs"
            )
        return self.load(directory, config)


def register(name: str) -> Callable[[Callable[[], Environment]], Callable[[], Environment]]:
    """Decorator: registers a function without arguments that makes an environment.

    Raises:
        InputError: if an environment of that name is registered already.
    """

    def keep(make: Callable[[], Environment]) -> Callable[[], Environment]:
        if name in _registered:
            raise InputError(f"an environment {name!r} is registered already, in {_file_of(_registered[name])}",
                             file=_file_of(make), fix="choose another name")  # fmt: skip
        _registered[name] = make
        return make

    return keep


def names() -> list[str]:
    """Names of all environments: this package's, and those that installed packages offer as entry points."""
    _discover()
    return sorted(_registered)


def get(name: str) -> tuple[str, Environment]:
    """An environment by name, or by the path of a Python file that registers one.

    Returns:
        Its name and the environment.

    Raises:
        InputError: if nothing of that name is registered, or the file registers nothing.
    """
    if name.endswith(".py"):
        return _from_file(Path(name))
    if name not in names():
        raise InputError(f"there is no environment {name!r}", column="ENV",
                         fix=f"use one of {', '.join(names())}, or a .py file that registers one")  # fmt: skip
    return name, _registered[name]()


def _discover_named() -> None:
    import_files("ialp_jax.environments.named")


def _discover() -> None:
    _discover_named()
    for point in importlib.metadata.entry_points(group="ialp_jax.environments"):
        point.load()


def _file_of(make: Callable[[], Environment]) -> Path:
    return Path(inspect.getfile(make)).resolve()


def _from_file(path: Path) -> tuple[str, Environment]:
    """Runs a user's file and returns what it registered last.

    The registry forgets it again: the file may have changed when it is read next, or another one may use its name.
    """
    if not path.is_file():
        raise InputError("there is no such file", file=path, fix="give the path of your environment's file")
    _discover_named()  # so that these names are known to be taken
    before = set(_registered)
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification is not None and specification.loader is not None
    added: dict[str, Callable[[], Environment]] = {}
    try:
        specification.loader.exec_module(importlib.util.module_from_spec(specification))
    except InputError as error:
        raise error.in_file(path) from None
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("ialp_jax."):
            raise
        raise InputError(f"it imports {error.name}, which is not there", file=path,
                         fix="import what was ialp_jax.envs from ialp_jax.worlds or ialp_jax.serving") from error  # fmt: skip
    finally:
        for name in [name for name in _registered if name not in before]:
            added[name] = _registered.pop(name)
    if not added:
        raise InputError("the file registers no environment", file=path,
                         fix='decorate a function with @register("name")')  # fmt: skip
    name, make = added.popitem()
    try:
        return name, make()
    except InputError as error:
        raise error.in_file(path) from None
