"""Coat: shoppers and coats with the published complete matrix and EasyRL4Rec's rule for leaving."""

from ialp_jax.data import coat as source
from ialp_jax.data.build import DataConfig
from ialp_jax.data.synthetic import SyntheticConfig
from ialp_jax.environments.registry import Environment, register
from ialp_jax.worlds.fit.config import FitConfig
from ialp_jax.worlds.simulator import SimulatorConfig


@register("coat")
def coat() -> Environment:
    """Shoppers who leave when a coat is too like one of the last seven (window 7, distance 6, cap 30)."""
    return Environment(
        "shoppers and coats, by rating, with the published rule for leaving",
        source.load,
        "clothes",
        synthetic=SyntheticConfig(num_users=290, num_items=300, feedback="explicit"),
        data=DataConfig(k_core=1),
        simulator=SimulatorConfig(turn_cap=30, window=7, slice_quirk=True),
        fit=FitConfig(distance_threshold=6.0),
        # What users leave for is told neither by the logs nor by the texts: scores that are fitted to the feedback please until
        # the user leaves (docs/learning.md).
        study=(("policy.encoder", "gru"), ("policy.item_start", "text")),
        recipe="policy gradient",
    )
