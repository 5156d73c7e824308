"""Coat: shoppers and coats with the published complete matrix and EasyRL4Rec's rule for leaving."""

from ialp_jax.data import coat as source
from ialp_jax.data.build import DataConfig
from ialp_jax.data.synthetic import SyntheticConfig
from ialp_jax.environments.registry import Environment, register
from ialp_jax.worlds.fit.config import FitConfig
from ialp_jax.worlds.simulator import SimulatorConfig

# What users leave for here is told neither by the logs nor by the texts. Scores that are fitted to the feedback then end at 29 per
# session, the policy gradient alone at 80 (docs/learning.md).
POLICY_GRADIENT = (
    ("policy.encoder", "gru"), ("policy.item_start", "text"),
    *((f"methods.{name}.{field}", value) for name in ("a2c", "ialp", "a_ialp_ft", "a_ialp_ap_mixture", "a_ialp_ap_value")
      for field, value in (("feedback_steps", 0), ("learning_rate", 2e-3), ("entropy", 0.01))),
    ("methods.ialp.learning_rate", 1e-3), ("methods.ialp.entropy", 0.05), ("methods.ialp.world", "table"),
    ("methods.ialp.look", False), ("methods.a2c.look", False), ("methods.a_ialp_ap_mixture.schedule", "annealed"),
)  # fmt: skip


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
        study=POLICY_GRADIENT,
    )
