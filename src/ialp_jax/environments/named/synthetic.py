"""The embedded world: invented players and games, shaped like Steam. Needs no data."""

from ialp_jax.environments.registry import PERSONAL, Environment, register


@register("synthetic")
def synthetic() -> Environment:
    """Invented users whose tastes are partly explained by genres."""
    return Environment("invented players and games, no data needed", None, "games", fit=PERSONAL)
