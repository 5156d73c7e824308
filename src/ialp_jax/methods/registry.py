"""How a method is found: by name, from an installed package's entry point, or in a user's Python file."""

import hashlib
import importlib.metadata
import importlib.util
import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, is_dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, TypeVar

from ialp_jax.artifacts import InputError, hash_file
from ialp_jax.listing import import_files
from ialp_jax.methods.base import Card
from ialp_jax.methods.families import ORDER

GROUP = "ialp_jax.methods"
USER_MODULE = "ialp_method_"
"""How the module of a user's file is called; what follows is a hash of its path and bytes."""
Class = TypeVar("Class", bound=type)
_registered: dict[str, "Registered"] = {}


@dataclass(frozen=True)
class Registered:
    """A method as the registry has it.

    Attributes:
        name: in files, flags and tables.
        options: the class; an instance holds the options of one study.
        source: hash of the user's file it came from; empty for installed methods, whose version says what they are.
    """

    name: str
    options: type[Any]
    source: str = ""

    @property
    def card(self) -> Card:
        """What a report says of it."""
        card: Card = self.options.card
        return card


def register(name: str) -> Callable[[Class], Class]:
    """Decorator: registers a method, a frozen dataclass of options with a `card` and `stages` (`base.Method`).

    Raises:
        InputError: if the name cannot be a flag, a method of that name is registered already, or the class is no method.
    """

    def keep(options: Class) -> Class:
        file = Path(inspect.getfile(options)).resolve()
        if not name.isidentifier() or name != name.lower():
            raise InputError(
                f"{name!r} cannot be the name of a method",
                file=file,
                fix="use lower case letters, digits and _",
            )
        if name in _registered:
            raise InputError(f"a method {name!r} is registered already, in {_file_of(_registered[name])}", file=file,
                             fix="choose another name")  # fmt: skip
        if not _is_method(options):
            raise InputError(f"the class registered as {name!r} is no method", file=file,
                             fix="make it a frozen dataclass with `card` and `stages`")  # fmt: skip
        if not hasattr(options, "builds_on"):
            options.builds_on = ()  # type: ignore[attr-defined]
        if not hasattr(options, "recipes"):
            options.recipes = {}  # type: ignore[attr-defined]
        if not hasattr(options, "unread"):
            options.unread = ()  # type: ignore[attr-defined]
        _registered[name] = Registered(name, options)
        return options

    return keep


def _is_method(options: Any) -> bool:
    frozen = is_dataclass(options) and options.__dataclass_params__.frozen  # type: ignore[union-attr]
    return (
        frozen
        and callable(getattr(options, "stages", None))
        and isinstance(getattr(options, "card", None), Card)
    )


def names() -> list[str]:
    """Names of all methods: this package's, and those that installed packages offer; the families' in turn."""
    _discover()
    families = list(dict.fromkeys([*ORDER, *(entry.card.family for entry in _registered.values())]))
    return sorted(_registered, key=lambda name: (families.index(_registered[name].card.family), name))


def default_names() -> tuple[str, ...]:
    """The methods of a study that names none."""
    return tuple(name for name in names() if _registered[name].card.default)


def get(reference: str) -> Registered:
    """A method by name, or by the path of a Python file that registers one.

    Raises:
        InputError: if nothing of that name is registered, or the file registers nothing or several methods.
    """
    if reference.endswith(".py"):
        return _from_file(Path(reference))
    _discover()
    if reference not in _registered:
        raise InputError(f"there is no method {reference!r}", column="methods",
                         fix=f"use some of {', '.join(names())}, or a .py file that registers one")  # fmt: skip
    return _registered[reference]


def resolved(references: Sequence[str]) -> tuple[str, ...]:
    """The references with files by their absolute paths, so that they mean the same in every process."""
    return tuple(
        str(Path(reference).resolve()) if reference.endswith(".py") else reference for reference in references
    )


def with_foundations(references: Sequence[str]) -> list[Registered]:
    """The methods, and after them those whose options decide their stages too; each once."""
    entries = {entry.name: entry for entry in map(get, references)}
    waiting = list(entries.values())
    while waiting:
        for name in waiting.pop(0).options.builds_on:
            if name not in entries:
                entries[name] = get(name)
                waiting.append(entries[name])
    return list(entries.values())


@cache
def _discover() -> None:
    import_files("ialp_jax.methods.named")
    for point in importlib.metadata.entry_points(group=GROUP):
        try:
            point.load()
        except ImportError as error:
            raise InputError(f"the entry point {point.name!r} of {GROUP} cannot be imported ({error})", file=point.value,
                             fix="mend or uninstall the package that offers it") from error  # fmt: skip


def _file_of(entry: Registered) -> Path:
    return Path(inspect.getfile(entry.options)).resolve()


def _from_file(path: Path) -> Registered:
    if not path.is_file():
        raise InputError("there is no such file", file=path, fix="give the path of your method's file")
    return _read_file(path.resolve(), hash_file(path))


@lru_cache(maxsize=64)
def _read_file(path: Path, source: str) -> Registered:
    """Runs a user's file and returns the method that it registers.

    The registry forgets it again: the file may have changed when it is read next, or another one may use its name. While
    its bytes are the same it is read once, so that its classes are the same, and equal learners share a program.
    """
    _discover()  # so that these names are known to be taken
    before = set(_registered)
    module_name = f"{USER_MODULE}{hashlib.sha256(str(path).encode()).hexdigest()[:8]}_{source[:8]}"
    specification = importlib.util.spec_from_file_location(module_name, path)
    assert specification is not None and specification.loader is not None
    added: dict[str, Registered] = {}
    try:
        module = importlib.util.module_from_spec(specification)
        sys.modules[module_name] = module  # type hints of its classes are looked up there
        specification.loader.exec_module(module)
    except InputError as error:
        raise error.in_file(path) from None
    finally:
        for name in [name for name in _registered if name not in before]:
            added[name] = _registered.pop(name)
    if len(added) != 1:
        several = f"{len(added)} methods, {' and '.join(added)}"
        raise InputError(f"the file registers {several if added else 'no method'}", file=path,
                         fix='decorate one class with @register("name")')  # fmt: skip
    (entry,) = added.values()
    return Registered(entry.name, entry.options, source)
