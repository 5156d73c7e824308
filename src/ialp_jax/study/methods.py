"""The methods a study compares: what runs, from which start, with which numbers."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import lru_cache, partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from ialp_jax.algorithms import a2c, adaptive, fixed, ialp
from ialp_jax.policies.actor_critic import ActorCritic, Network
from ialp_jax.policies.fixed import (
    FixedPolicy,
    OraclePolicy,
    RandomPolicy,
    ScorePolicy,
    fixed_actor,
    oracle_actor,
)
from ialp_jax.study.config import StudyConfig
from ialp_jax.study.names import FIXED, TABLE_METHODS
from ialp_jax.study.prepare import Prepared
from ialp_jax.training.loop import seed_keys
from ialp_jax.worlds.simulator import Simulator
from ialp_jax.worlds.world import World

# Purposes of the seeds' keys; all online methods share one, so that the same users arrive.
PARAMS_STREAM = 0
PRETRAIN_STREAM = 1
ONLINE_STREAM = 2


@dataclass(frozen=True)
class Runs:
    """The runs that share a program.

    Attributes:
        seeds: of each run, [R].
        hyper: numbers of each run, every leaf [R]; None if all have the study's.
    """

    seeds: Int[np.ndarray, "R"]
    hyper: Any = None


@dataclass(frozen=True)
class Method:
    """One method, ready for the training loop.

    Attributes:
        algorithm: what runs.
        hyper: its numbers; of a policy that does not learn, its arrays.
        hyper_axis: 0 if every run has its own, None if they share them.
        seeds: of each run, [R].
        start: makes the initial states of all runs.
        stochastic: whether its greedy version is another policy.
        uses_table: whether it rests on the preference table (and so on its judgements).
    """

    algorithm: Any
    hyper: Any
    hyper_axis: int | None
    seeds: Int[np.ndarray, "R"]
    start: Callable[[], Any]
    stochastic: bool
    uses_table: bool


def network_of(prepared: Prepared, config: StudyConfig) -> Network:
    """The network all methods share."""
    return Network(ActorCritic(prepared.dataset.num_items, config.policy))


def fresh_params(prepared: Prepared, config: StudyConfig, seeds: Int[np.ndarray, "R"]) -> dict:
    """Untrained parameters of every run: those of its seed, the same for iALP and for A2C from scratch."""
    network, length = network_of(prepared, config), config.data.history_length
    vectors = jnp.asarray(prepared.text_vectors) if config.policy.item_start == "text" else None
    return _compiled_fresh(network, length)(seed_keys(seeds, PARAMS_STREAM), vectors)


@lru_cache(maxsize=16)
def _compiled_fresh(network: Network, length: int) -> Callable[..., dict]:
    return jax.jit(jax.vmap(lambda key, vectors: network.init(key, length, vectors), in_axes=(0, None)))


def study_runs(config: StudyConfig) -> Runs:
    """One run per seed."""
    return Runs(np.arange(config.seeds, dtype=np.int32))


def hyper_of(name: str, config: StudyConfig) -> Any:
    """The numbers of a method that learns, by its name; "pretraining" is iALP's stage in the LLM's world."""
    if name == "pretraining":
        return config.pretrain_hyper
    if name == "a2c":
        return config.scratch_hyper
    # The actor-critic's own numbers: fine-tuning then shares the program of A2C from scratch.
    return _plain(config.adapt_hyper) if name == "a_ialp_ft" else config.adapt_hyper


def pretraining(prepared: Prepared, config: StudyConfig, runs: Runs) -> Method:
    """iALP: learning in the LLM's world."""
    learner = ialp.IALP if config.pretrain_hyper.supervised > 0.0 else a2c.A2C
    algorithm = learner(config.pretrain, Simulator(config.simulator), network_of(prepared, config))
    params = (fresh_params(prepared, config, runs.seeds),)
    return _learner("pretraining", algorithm, prepared.llm_world, config, runs, params, PRETRAIN_STREAM)


def online_method(
    name: str, prepared: Prepared, config: StudyConfig, runs: Runs, pretrained: dict | None
) -> Method:
    """A method of `config.METHODS`, run in the users' world.

    Args:
        name: of the method.
        prepared: both worlds.
        config: the study; of its numbers, those that `runs` does not give.
        runs: seeds, and numbers where they differ.
        pretrained: iALP's parameters of every run; None where the method needs none.
    """
    simulator, network = Simulator(config.simulator), network_of(prepared, config)
    if name in FIXED or name == "ialp":
        return _fixed_method(name, prepared, config, runs, pretrained)
    learner = a2c.A2C(config.online, simulator, network)
    build = partial(_learner, name, world=prepared.world, config=config, runs=runs)
    if name == "a2c":
        return build(learner, params=(fresh_params(prepared, config, runs.seeds),))
    if name == "a_ialp_ft":
        return build(learner, params=(pretrained,))
    reading: Literal["mixture", "value"] = "mixture" if name == "a_ialp_ap_mixture" else "value"
    start = config.mixture_start if reading == "mixture" else config.value_start
    online = pretrained if start == "pretrained" else fresh_params(prepared, config, runs.seeds)
    return build(
        adaptive.AdaptiveA2C(config.adaptive(reading), simulator, network), params=(pretrained, online)
    )


def _fixed_method(
    name: str, prepared: Prepared, config: StudyConfig, runs: Runs, pretrained: dict | None
) -> Method:
    """A policy that does not learn: one that needs no network, or iALP's as pre-training left it."""
    simulator = Simulator(config.simulator)
    frozen = name == "ialp"
    actor_of: Any = oracle_actor if name == "oracle" else fixed_actor
    if frozen:
        actor_of = partial(a2c.policy_actor, network_of(prepared, config))
    algorithm = fixed.Fixed(config.fixed(), simulator, actor_of)
    policy = pretrained if frozen else _fixed_policy(name, prepared, simulator)
    axis = 0 if frozen else None
    start = _start(algorithm, policy, axis, prepared.world, runs.seeds, (), ONLINE_STREAM)
    return Method(algorithm, policy, axis, runs.seeds, start, frozen, name in TABLE_METHODS)


def _fixed_policy(name: str, prepared: Prepared, simulator: Simulator) -> FixedPolicy | OraclePolicy:
    """The policies that need no network."""
    if name == "oracle":
        return OraclePolicy(simulator)
    if name == "random":
        return RandomPolicy(prepared.dataset.num_items)
    scores = {"popular": prepared.popularity[None], "table_greedy": prepared.table_scores}[name]
    return ScorePolicy(jnp.asarray(scores))


def _plain(hyper: a2c.Hyper) -> a2c.Hyper:
    """The actor-critic's own numbers: fine-tuning then shares the program of A2C from scratch."""
    return a2c.Hyper(**{field.name: getattr(hyper, field.name) for field in fields(a2c.Hyper)})


def _learner(
    name: str,
    algorithm: Any,
    world: World,
    config: StudyConfig,
    runs: Runs,
    params: tuple[dict | None, ...],
    stream: int = ONLINE_STREAM,
) -> Method:
    """A method that learns; `params` are what `algorithm.init` takes after the world, one set per run."""
    hyper, axis = (hyper_of(name, config), None) if runs.hyper is None else (runs.hyper, 0)
    start = _start(algorithm, hyper, axis, world, runs.seeds, params, stream)
    return Method(algorithm, hyper, axis, runs.seeds, start, True, name in TABLE_METHODS)


def _start(
    algorithm: Any,
    hyper: Any,
    hyper_axis: int | None,
    world: World,
    seeds: Int[np.ndarray, "R"],
    params: tuple[dict | None, ...],
    stream: int,
) -> Callable[[], Any]:
    init = _compiled_init(algorithm, hyper_axis, len(params))
    return lambda: init(seed_keys(seeds, stream), hyper, world, *params)


@lru_cache(maxsize=16)
def _compiled_init(algorithm: Any, hyper_axis: int | None, starts: int) -> Callable[..., Any]:
    """`algorithm.init` over runs; equal algorithms share the program."""
    return jax.jit(jax.vmap(algorithm.init, in_axes=(0, hyper_axis, None, *[0] * starts)))
