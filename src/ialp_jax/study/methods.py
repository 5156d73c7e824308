"""The methods a study compares: what runs, from which start, with which numbers."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import lru_cache, partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from ialp_jax.algorithms import a2c, adaptive, fixed, ialp
from ialp_jax.envs.simulator import Simulator
from ialp_jax.envs.world import World
from ialp_jax.policies.actor_critic import ActorCritic, Network
from ialp_jax.policies.fixed import FixedPolicy, OraclePolicy, ScorePolicy, fixed_actor
from ialp_jax.study.config import StudyConfig
from ialp_jax.study.prepare import Prepared
from ialp_jax.training.loop import seed_keys

# Purposes of the seeds' keys; all online methods share one, so that the same users arrive.
PARAMS_STREAM = 0
PRETRAIN_STREAM = 1
ONLINE_STREAM = 2


@dataclass(frozen=True)
class Method:
    """One method, ready for the training loop.

    Attributes:
        algorithm: what runs.
        hyper: its numbers; of a policy that does not learn, its arrays.
        hyper_axis: 0 if every seed has its own, None if they share them.
        start: makes the initial states of all seeds.
        stochastic: whether its greedy version is another policy.
        uses_table: whether it rests on the preference table (and so on its judgements).
    """

    algorithm: Any
    hyper: Any
    hyper_axis: int | None
    start: Callable[[], Any]
    stochastic: bool
    uses_table: bool


def network_of(prepared: Prepared, config: StudyConfig) -> Network:
    """The network all methods share."""
    return Network(ActorCritic(prepared.dataset.num_items, config.policy))


def fresh_params(prepared: Prepared, config: StudyConfig) -> dict:
    """Untrained parameters of every seed, the same for iALP and for A2C from scratch."""
    network, length = network_of(prepared, config), config.data.history_length
    vectors = jnp.asarray(prepared.text_vectors) if config.policy.item_start == "text" else None
    return jax.jit(jax.vmap(lambda key: network.init(key, length, vectors)))(
        seed_keys(config.seeds, PARAMS_STREAM)
    )


def pretraining(prepared: Prepared, config: StudyConfig) -> Method:
    """iALP: learning in the LLM's world."""
    learner = ialp.IALP if config.pretrain_hyper.supervised > 0.0 else a2c.A2C
    algorithm = learner(config.pretrain, Simulator(config.simulator), network_of(prepared, config))
    params = (fresh_params(prepared, config),)
    return _method(
        algorithm,
        config.pretrain_hyper,
        prepared.llm_world,
        config.seeds,
        PRETRAIN_STREAM,
        params,
        uses_table=True,
    )


def online_method(name: str, prepared: Prepared, config: StudyConfig, pretrained: dict) -> Method:
    """A method of `config.METHODS`, run in the users' world; `pretrained` are iALP's parameters of all seeds."""
    simulator, network = Simulator(config.simulator), network_of(prepared, config)
    build = partial(_method, world=prepared.world, seeds=config.seeds, stream=ONLINE_STREAM)
    if name in ("random", "popular", "table_greedy", "oracle"):
        algorithm: Any = fixed.Fixed(config.fixed(), simulator, fixed_actor)
        policy = _fixed_policy(name, prepared, simulator)
        return build(algorithm, policy, uses_table=name == "table_greedy", stochastic=False)
    if name == "ialp":
        algorithm = fixed.Fixed(config.fixed(), simulator, partial(a2c.policy_actor, network))
        return build(algorithm, pretrained, hyper_axis=0, uses_table=True)
    learner = a2c.A2C(config.online, simulator, network)
    if name == "a2c":
        return build(learner, config.scratch_hyper, params=(fresh_params(prepared, config),))
    if name == "a_ialp_ft":
        return build(learner, _plain(config.adapt_hyper), params=(pretrained,), uses_table=True)
    reading: Literal["mixture", "value"] = "mixture" if name == "a_ialp_ap_mixture" else "value"
    start = config.mixture_start if reading == "mixture" else config.value_start
    online = pretrained if start == "pretrained" else fresh_params(prepared, config)
    algorithm = adaptive.AdaptiveA2C(config.adaptive(reading), simulator, network)
    return build(algorithm, config.adapt_hyper, params=(pretrained, online), uses_table=True)


def _fixed_policy(name: str, prepared: Prepared, simulator: Simulator) -> FixedPolicy:
    """The policies that need no network."""
    if name == "oracle":
        return OraclePolicy(simulator)
    scores = {
        "random": np.zeros(1, np.float32),  # all tied, and ties are broken uniformly at random
        "popular": prepared.popularity,
        "table_greedy": prepared.table_scores,
    }[name]
    # A row per user for all three, so that they share one compiled program.
    return ScorePolicy(jnp.asarray(np.broadcast_to(scores, prepared.table_scores.shape)))


def _plain(hyper: a2c.Hyper) -> a2c.Hyper:
    """The actor-critic's own numbers: fine-tuning then shares the program of A2C from scratch."""
    return a2c.Hyper(**{field.name: getattr(hyper, field.name) for field in fields(a2c.Hyper)})


def _method(
    algorithm: Any,
    hyper: Any,
    world: World,
    seeds: int,
    stream: int,
    params: tuple[dict, ...] = (),
    hyper_axis: int | None = None,
    uses_table: bool = False,
    stochastic: bool = True,
) -> Method:
    """A method and its start; `params` are what `algorithm.init` takes after the world, one set per seed."""

    def start() -> Any:
        init = _compiled_init(algorithm, hyper_axis, len(params))
        return init(seed_keys(seeds, stream), hyper, world, *params)

    return Method(algorithm, hyper, hyper_axis, start, stochastic, uses_table)


@lru_cache(maxsize=16)
def _compiled_init(algorithm: Any, hyper_axis: int | None, starts: int) -> Callable[..., Any]:
    """`algorithm.init` over seeds; equal algorithms share the program."""
    return jax.jit(jax.vmap(algorithm.init, in_axes=(0, hyper_axis, None, *[0] * starts)))
