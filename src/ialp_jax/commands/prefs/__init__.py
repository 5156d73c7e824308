"""The preference table: plan it, have it judged, look at it, measure it, merge and export it."""

import sys
from collections.abc import Sequence


def run(arguments: Sequence[str]) -> None:
    """Runs one of the commands of this folder."""
    from ialp_jax.cli import dispatch

    dispatch(sys.modules[__name__], "ialp prefs", arguments)
