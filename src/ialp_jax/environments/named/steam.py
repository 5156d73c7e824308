"""Steam: play hours of games (format: data/steam.py)."""

from ialp_jax.data import steam as source
from ialp_jax.environments.registry import PERSONAL, Environment, register


@register("steam")
def steam() -> Environment:
    """Players of the steam-200k logs."""
    return Environment("players and games, by hours played", source.load, "games", fit=PERSONAL)
