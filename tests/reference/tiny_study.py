"""An environment of fifty invented users, as a user's own file, for whole studies and sweeps; and sizes to match."""

TINY = """
from ialp_jax.data.build import DataConfig
from ialp_jax.data.synthetic import SyntheticConfig
from ialp_jax.environments import Environment, register
from ialp_jax.worlds.simulator import SimulatorConfig


@register("tiny")
def tiny():
    return Environment(
        "fifty invented users",
        synthetic=SyntheticConfig(num_users=50, num_items=60, mean_interactions=12.0),
        data=DataConfig(k_core=2, history_length=4),
        simulator=SimulatorConfig(turn_cap=4),
    )
"""

SHAPE = {"users": 8, "rollout": 4, "pool": 4}
FIXED = {
    "policy.embedding": 4, "policy.hidden": 4, "evaluation.sessions": 8, "loop.chunk": 2, "online.updates": 12,
    "online.bins": 4, "pretrain.updates": 8, **{f"online.{name}": value for name, value in SHAPE.items()},
    **{f"pretrain.{name}": value for name, value in SHAPE.items()},
}  # fmt: skip
