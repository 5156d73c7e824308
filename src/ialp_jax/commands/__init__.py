"""Commands of the `ialp` command line; each file has `run(arguments)`."""

import importlib
import pkgutil
import sys
from collections.abc import Sequence
from types import ModuleType

from rich.console import Console

BAD_INPUT = 2
"""Exit status."""


def dispatch(package: ModuleType, prog: str, arguments: Sequence[str]) -> None:
    """Runs the command in `package` that the first argument names; shows those that exist if it names none."""
    available = {
        module.name: f"{package.__name__}.{module.name}" for module in pkgutil.iter_modules(package.__path__)
    }
    name = arguments[0] if arguments else "--help"
    if name not in available:
        _print_usage(prog, available, Console(stderr=True))
        sys.exit(0 if name in ("-h", "--help") else BAD_INPUT)
    importlib.import_module(available[name]).run(arguments[1:])


def _print_usage(prog: str, available: dict[str, str], console: Console) -> None:
    console.print(f"usage: {prog} COMMAND [--help]\n")
    for name, module in available.items():
        summary = (importlib.import_module(module).__doc__ or "").strip().splitlines()[0]
        console.print(f"  {name:<10} {summary}", highlight=False, soft_wrap=True)
