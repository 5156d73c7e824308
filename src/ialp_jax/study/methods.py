"""The methods a study compares: what runs, from which start, with which numbers."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from ialp_jax.algorithms import a2c, adaptive, fixed
from ialp_jax.envs.simulator import Simulator
from ialp_jax.envs.world import World
from ialp_jax.policies.actor_critic import ActorCritic, Network
from ialp_jax.policies.fixed import FixedPolicy, OraclePolicy, RandomPolicy, ScorePolicy
from ialp_jax.study.config import StudyConfig
from ialp_jax.study.prepare import Prepared
from ialp_jax.training.loop import seed_keys

PRETRAIN_STREAM, ONLINE_STREAM = 1, 2  # purposes of the seeds' keys; all online methods share one


@dataclass(frozen=True)
class Method:
    """One method, ready for the training loop.

    Attributes:
        algorithm: what runs.
        hyper: its numbers; of a policy that does not learn, its arrays.
        hyper_axis: 0 if every seed has its own, None if they share them.
        start: makes the initial states of all seeds.
        learns: whether it changes online.
        uses_table: whether it rests on the preference table (and so on its judgements).
    """

    algorithm: Any
    hyper: Any
    hyper_axis: int | None
    start: Callable[[], Any]
    learns: bool
    uses_table: bool


def network_of(prepared: Prepared, config: StudyConfig) -> Network:
    """The network all methods share."""
    return Network(ActorCritic(prepared.dataset.num_items, config.policy))


def pretraining(prepared: Prepared, config: StudyConfig) -> Method:
    """iALP: A2C in the LLM's world."""
    algorithm = a2c.A2C(config.pretrain, Simulator(config.simulator), network_of(prepared, config))
    return _method(algorithm, config.pretrain_hyper, prepared.llm_world, config.seeds, PRETRAIN_STREAM, uses_table=True)


def online_method(name: str, prepared: Prepared, config: StudyConfig, pretrained: dict) -> Method:
    """A method of `config.METHODS`, run in the users' world; `pretrained` are iALP's parameters of all seeds."""
    simulator, network = Simulator(config.simulator), network_of(prepared, config)
    build = partial(_method, world=prepared.world, seeds=config.seeds, stream=ONLINE_STREAM)
    if name in ("random", "popular", "table_greedy", "oracle"):
        algorithm: Any = fixed.Fixed(config.fixed(), simulator, fixed.fixed_actor)
        policy = _fixed_policy(name, prepared, simulator)
        return build(algorithm, policy, uses_table=name == "table_greedy", learns=False)
    if name == "ialp":
        algorithm = fixed.Fixed(config.fixed(), simulator, partial(a2c.policy_actor, network))
        return build(algorithm, pretrained, hyper_axis=0, uses_table=True, learns=False)
    if name == "a2c":
        return build(a2c.A2C(config.online, simulator, network), config.scratch_hyper)
    if name == "a_ialp_ft":
        algorithm = a2c.A2C(config.online, simulator, network)
    else:
        reading = "mixture" if name == "a_ialp_ap_mixture" else "value"
        algorithm = adaptive.AdaptiveA2C(config.adaptive(reading), simulator, network)  # type: ignore[arg-type]
    return build(algorithm, config.adapt_hyper, params=pretrained, uses_table=True)


def _fixed_policy(name: str, prepared: Prepared, simulator: Simulator) -> FixedPolicy:
    """The policies that need no network."""
    if name == "random":
        return RandomPolicy()
    if name == "oracle":
        return OraclePolicy(simulator)
    return ScorePolicy(jnp.asarray(prepared.popularity[None] if name == "popular" else prepared.table_scores))


def _method(
    algorithm: Any,
    hyper: Any,
    world: World,
    seeds: int,
    stream: int,
    params: dict | None = None,
    hyper_axis: int | None = None,
    uses_table: bool = False,
    learns: bool = True,
) -> Method:
    """A method and its start; `params` are those of each seed's pre-trained policy."""

    def start() -> Any:
        arguments = (hyper, world) if params is None else (hyper, world, params)
        axes = (0, hyper_axis, None) if params is None else (0, hyper_axis, None, 0)
        return jax.jit(jax.vmap(algorithm.init, in_axes=axes))(seed_keys(seeds, stream), *arguments)

    return Method(algorithm, hyper, hyper_axis, start, learns, uses_table)
