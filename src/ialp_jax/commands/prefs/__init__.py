"""The preference table: plan it, have it judged, look at it, measure it, merge and export it."""

import sys
from collections.abc import Sequence

from ialp_jax.commands import dispatch


def run(arguments: Sequence[str]) -> None:
    """Runs one of the commands of this folder."""
    dispatch(sys.modules[__name__], "ialp prefs", arguments)
