"""Last.fm: play counts of artists (HetRec 2011)."""

from ialp_jax.data import lfm as source
from ialp_jax.environments.registry import PERSONAL, Environment, register


@register("lfm")
def lfm() -> Environment:
    """Listeners of the HetRec Last.fm logs."""
    return Environment("listeners and artists, by plays", source.load, "music", fit=PERSONAL)
