"""Which sessions "initial" and "final" are of, as a run's files say it, in words."""

from collections.abc import Mapping

Phases = Mapping[str, float]
UNRECORDED: Phases = {"initial": 0.05, "final": 0.10}
"""Of files without the field: all that were written before there was one."""


def initial_sessions(phases: Phases) -> str:
    """For example "first 5 % of the online sessions"."""
    return f"first {100 * phases['initial']:g} % of the online sessions"


def final_sessions(phases: Phases) -> str:
    """For example "last 10 % of the online sessions"."""
    return f"last {100 * phases['final']:g} % of the online sessions"
