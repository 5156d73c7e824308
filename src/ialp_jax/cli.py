"""Command line: `ialp COMMAND ...`. One file per command in `commands/`; none is imported before it is asked for."""

import importlib
import pkgutil
import sys

from rich.console import Console

from ialp_jax import commands
from ialp_jax.artifacts import InputError

BAD_INPUT, INTERRUPTED = 2, 130


def main() -> None:
    """Runs a command. Bad input ends with one line and status 2, an interruption with status 130."""
    available = {
        module.name: f"{commands.__name__}.{module.name}"
        for module in pkgutil.iter_modules(commands.__path__)
    }
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    console = Console(stderr=True)
    if name not in available:
        _print_usage(available, console)
        sys.exit(0 if name in ("-h", "--help") else BAD_INPUT)
    try:
        importlib.import_module(available[name]).run(sys.argv[2:])
    except InputError as error:
        console.print(f"[bold red]error:[/bold red] {error}", highlight=False, soft_wrap=True)
        sys.exit(BAD_INPUT)
    except KeyboardInterrupt:
        console.print("[yellow]interrupted; run the same command with RESUME=1 (--resume) to go on[/yellow]")
        sys.exit(INTERRUPTED)


def _print_usage(available: dict[str, str], console: Console) -> None:
    console.print("usage: ialp COMMAND [--help]\n")
    for name, module in available.items():
        summary = (importlib.import_module(module).__doc__ or "").strip().splitlines()[0]
        console.print(f"  {name:<10} {summary}", highlight=False)
