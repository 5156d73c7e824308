"""Command line: `ialp COMMAND ...`. One file per command in `commands/`; none is imported before it is asked for."""

import sys

from rich.console import Console
from rich.markup import escape

from ialp_jax import commands
from ialp_jax.artifacts import InputError
from ialp_jax.commands import BAD_INPUT, dispatch

INTERRUPTED = 130


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


if __name__ == "__main__":
    main()
