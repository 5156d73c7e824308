"""Parts found by listing a package: a file in it registers what it defines, and no other file names it."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from ialp_jax.artifacts import InputError

Part = TypeVar("Part")


def import_files(package: str) -> None:
    """Imports every module of a package, by name."""
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        importlib.import_module(f"{package}.{module.name}")


class Listing(Generic[Part]):
    """Classes of one kind by name.

    Attributes:
        kind: what one of them is called in errors.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._registered: dict[str, type[Part]] = {}

    def register(self, name: str) -> Callable[[type[Part]], type[Part]]:
        """Decorator: registers a class under a name.

        Raises:
            InputError: if another class has that name.
        """

        def keep(part: type[Part]) -> type[Part]:
            if name in self._registered:
                file = Path(inspect.getfile(self._registered[name])).resolve()
                raise InputError(f"{self.kind} {name!r} is registered already, in {file}",
                                 file=Path(inspect.getfile(part)).resolve(), fix="choose another name")  # fmt: skip
            self._registered[name] = part
            return part

        return keep

    def parts(self) -> dict[str, type[Part]]:
        """All registered so far, in the names' order."""
        return dict(sorted(self._registered.items()))
