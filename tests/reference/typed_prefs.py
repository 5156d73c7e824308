"""`ialp prefs` as it is typed, and a small planned job, for several rooms of the judges."""

import sys

from ialp_jax import cli

COUNTS = ("--candidates.similar", "6", "--candidates.popular", "4", "--candidates.random", "4")


def type_(*words) -> int:
    """Types a command; its exit status."""
    before, sys.argv = sys.argv, ["ialp", *map(str, words)]
    try:
        cli.main()
        return 0
    except SystemExit as stop:
        return int(stop.code or 0)
    finally:
        sys.argv = before


def plan(out, states):
    """Plans a job about users of the invented environment."""
    assert type_("prefs", "plan", "synthetic", "--out", out, "--states", states, *COUNTS) == 0
    return out
