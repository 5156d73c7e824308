"""From finished runs to numbers: metrics of every seed, learning curves."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from ialp_jax.evaluation.metrics import coverage, diversity, novelty
from ialp_jax.evaluation.statistics import mean_reward, phase_reward
from ialp_jax.serving.play import PlayedSessions, play
from ialp_jax.serving.sessions import Ledger
from ialp_jax.study.config import StudyConfig
from ialp_jax.study.methods import Method
from ialp_jax.study.prepare import Prepared, offline_users
from ialp_jax.training.loop import Trained, seed_keys
from ialp_jax.worlds.departure import REASONS
from ialp_jax.worlds.world import World

EVALUATION_STREAM = 3
PHASES = {"initial": 0.05, "final": 0.10}
"""Shares of the online sessions, in the order in which they began, that `initial_reward` and `final_reward` are of."""


@dataclass(frozen=True)
class MethodResult:
    """What one method achieved.

    Attributes:
        online_steps: simulator steps in the users' world per seed.
        judgements: judged pairs it rests on.
        llm_calls: calls of a language model they took.
        per_seed: metric -> one value per seed.
        departures: reason -> sessions of the final evaluation, all seeds.
        curves: "sessions", "reward", "length" (and "weight") -> [R, K].
    """

    online_steps: int
    judgements: int
    llm_calls: int
    per_seed: dict[str, list[float]]
    departures: dict[str, int]
    curves: dict[str, Float[np.ndarray, "R K"]]


def measure(method: Method, trained: Trained, prepared: Prepared, config: StudyConfig) -> MethodResult:
    """Measures a finished run: its stream of online sessions, then fresh sessions with the policy it ended with."""
    ledger = jax.tree.map(np.asarray, trained.run.serving.ledger)
    sampled = _play(method, trained, prepared.world, config, greedy=False)
    greedy = _play(method, trained, prepared.world, config, greedy=True) if method.stochastic else sampled
    per_seed: dict[str, Any] = {
        **stream_metrics(ledger),
        "sampled_reward": sampled.total.mean(axis=1),
        "greedy_reward": greedy.total.mean(axis=1),
        **_catalogue_metrics(sampled, prepared),
    }
    curves = {"sessions": ledger.sessions, "reward": ledger.reward, "length": ledger.length}
    if "weight" in trained.metrics:
        curves["weight"] = _rebin(trained.metrics["weight"], ledger.sessions.shape[1])
    counts = np.bincount(sampled.reason.ravel(), minlength=len(REASONS))
    return MethodResult(
        online_steps=method.algorithm.config.steps,
        judgements=prepared.table.num_judgements if method.uses_table else 0,
        llm_calls=prepared.table.costs["calls"] if method.uses_table else 0,
        per_seed={name: [float(value) for value in values] for name, values in per_seed.items()},
        departures={name: int(counts[index]) for index, name in enumerate(REASONS) if index},
        curves=curves,
    )


def stream_metrics(ledger: Ledger) -> dict[str, Float[np.ndarray, "R"]]:
    """What the stream of online sessions so far shows of every run.

    Raises:
        InputError: if a run has no finished session.
    """
    sessions, reward = np.asarray(ledger.sessions), np.asarray(ledger.reward)
    length = phase_reward(sessions, np.asarray(ledger.length), last=PHASES["final"])
    final = phase_reward(sessions, reward, last=PHASES["final"])
    return {
        "initial_reward": phase_reward(sessions, reward, first=PHASES["initial"]),
        "final_reward": final,
        "mean_reward": mean_reward(sessions, reward),
        "length": length,
        "reward_per_turn": final / length,
    }


def _play(
    method: Method, trained: Trained, world: World, config: StudyConfig, greedy: bool
) -> PlayedSessions:
    """Sessions of all seeds with the final policies; users and noise are the same for every method."""
    played = _compiled_play(method.algorithm, config.evaluation.sessions, method.hyper_axis)
    keys = seed_keys(method.seeds, EVALUATION_STREAM)
    return jax.tree.map(np.asarray, played(keys, trained.run, method.hyper, world, greedy))


@lru_cache(maxsize=16)
def _compiled_play(algorithm: Any, sessions: int, hyper_axis: int | None) -> Callable[..., PlayedSessions]:
    """`play` over runs; sampled and greedy sessions of equal algorithms share the program."""

    def one_run(key: Any, run: Any, hyper: Any, world: World, greedy: Any) -> PlayedSessions:
        return play(key, algorithm.actor(run, hyper, greedy), algorithm.simulator, world, sessions)

    return jax.jit(jax.vmap(one_run, in_axes=(0, 0, hyper_axis, None, None)))


def _catalogue_metrics(played: PlayedSessions, prepared: Prepared) -> dict[str, list[float]]:
    """Coverage, diversity and novelty of every seed's sessions."""
    vectors, seeds = np.asarray(prepared.world.item_vectors), np.asarray(played.items)
    known = prepared.popularity / offline_users(prepared.dataset)
    return {
        "coverage": [coverage(items, vectors.shape[0]) for items in seeds],
        "diversity": [diversity(items, vectors) for items in seeds],
        "novelty": [novelty(items, known) for items in seeds],
    }


def _rebin(values: Float[np.ndarray, "R C"], bins: int) -> Float[np.ndarray, "R K"]:
    """Values per chunk as values per bin of the same run: each bin shows the chunk at its middle."""
    middles = ((np.arange(bins) + 0.5) / bins * values.shape[1]).astype(int)
    return values[:, middles]
