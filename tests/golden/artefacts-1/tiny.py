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
