"""Command line: `ialp COMMAND ...`. One file per command in `commands/`; none is imported before it is asked for."""

import importlib
import pkgutil
import sys
from collections.abc import Sequence
from types import ModuleType

from rich.console import Console
from rich.markup import escape

from ialp_jax import commands
from ialp_jax.artifacts import InputError

BAD_INPUT, INTERRUPTED = 2, 130


def main() -> None:
    """Runs a command. Bad input ends with one line and status 2, an interruption with status 130."""
    console = Console(stderr=True)
    try:
        dispatch(commands, "ialp", sys.argv[1:])
    except InputError as error:
        console.print(f"[bold red]error:[/bold red] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(BAD_INPUT)
    except KeyboardInterrupt:
        console.print(
            "[yellow]interrupted; run the same command again to go on (train: with RESUME=1, --resume)[/yellow]"
        )
        sys.exit(INTERRUPTED)


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


if __name__ == "__main__":
    main()
