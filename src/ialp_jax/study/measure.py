"""From finished runs to numbers: metrics of every seed, learning curves, costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from ialp_jax.data.dataset import offline_users
from ialp_jax.divergence import Divergence
from ialp_jax.evaluation.metrics import coverage, distinct_lists, diversity, novelty
from ialp_jax.evaluation.statistics import mean_reward, phase_reward
from ialp_jax.methods.base import Budget, Card, Data, Learner, Stage, rest_on_table
from ialp_jax.serving.ledger import Ledger
from ialp_jax.serving.play import PlayedSessions, play
from ialp_jax.study.config import StudyConfig
from ialp_jax.study.inputs import Inputs
from ialp_jax.study.stages import Program, learner_of
from ialp_jax.training.device import compiler_options
from ialp_jax.training.loop import Trained, seed_keys
from ialp_jax.worlds.departure import REASONS

EVALUATION_STREAM = 3
PHASES = {"initial": 0.05, "final": 0.10}
"""Shares of the online sessions, in the order in which they began, that `initial_reward` and `final_reward` are of."""


@dataclass(frozen=True)
class Costs:
    """What a method rests on, per seed; sums over its stages.

    Attributes:
        online_steps: simulator steps in the users' world.
        pretraining_steps: simulator steps in other worlds.
        logged_steps: simulator steps of the recorded sessions that it learns from.
        judgements: judged pairs of the preference table.
        llm_calls: calls of a language model they took.
    """

    online_steps: int
    pretraining_steps: int
    logged_steps: int
    judgements: int
    llm_calls: int


@dataclass(frozen=True)
class MethodResult:
    """What one method achieved.

    Attributes:
        costs: what it took.
        per_seed: metric -> one value per seed; NaN of a seed that diverged.
        departures: reason -> sessions of the final evaluation, all seeds but those that diverged.
        curves: "sessions", "reward", "length" and what the card names -> [R, K]; NaN of a seed that diverged.
        diverged: what is said of each seed that diverged, itself or in a stage before; None of the others.
    """

    costs: Costs
    per_seed: dict[str, list[float]]
    departures: dict[str, int]
    curves: dict[str, Float[np.ndarray, "R K"]]
    diverged: tuple[Divergence | None, ...]


def costs_of(stages: Sequence[Stage], inputs: Inputs, config: StudyConfig) -> Costs:
    """What the stages of a method take; the table is looked at only if one of them rests on it."""
    steps = dict.fromkeys(Budget, 0)
    for stage in stages:
        learner = learner_of(stage, inputs.dataset.num_items, config)
        steps[stage.budget] += learner.steps * learner.updates
    table = inputs.table if rest_on_table(stages) else None
    return Costs(
        online_steps=steps[Budget.ONLINE] + steps[Budget.MEASURE],
        pretraining_steps=steps[Budget.PRETRAIN],
        logged_steps=inputs.logged_steps(stages),
        judgements=0 if table is None else table.num_judgements,
        llm_calls=0 if table is None else table.costs["calls"],
    )


def measure(
    card: Card,
    stages: Sequence[Stage],
    program: Program,
    trained: Trained,
    inputs: Inputs,
    config: StudyConfig,
    diverged: Sequence[Divergence | None],
) -> MethodResult:
    """Measures a finished run: its stream of online sessions, then fresh sessions with the policy it ended with.

    Args:
        card: of the method.
        stages: of the method; the last one was run.
        program: of the last stage.
        trained: what it led to.
        inputs: of the study.
        config: of the study.
        diverged: what is said of each run that diverged, here or in a stage before.
    """
    sound = np.array([one is None for one in diverged])
    ledger = jax.tree.map(np.asarray, trained.run.serving.ledger)
    sampled = fresh_sessions(program, trained.run, config, greedy=False)
    greedy = fresh_sessions(program, trained.run, config, greedy=True) if card.stochastic else sampled
    per_seed: dict[str, Any] = {
        **stream_metrics(ledger, sound),
        "sampled_reward": sampled.total.mean(axis=1),
        "greedy_reward": greedy.total.mean(axis=1),
        **_catalogue_metrics(sampled, inputs),
        "distinct_lists": [distinct_lists(items) for items in np.asarray(greedy.items)],
    }
    curves = {"sessions": ledger.sessions, "reward": ledger.reward, "length": ledger.length}
    for name in card.curves:
        curves[name] = _rebin(trained.metrics[name], ledger.sessions.shape[1])
    counts = np.bincount(sampled.reason[sound].ravel(), minlength=len(REASONS))
    return MethodResult(
        costs=costs_of(stages, inputs, config),
        per_seed={name: np.where(sound, values, np.nan).tolist() for name, values in per_seed.items()},
        departures={name: int(counts[index]) for index, name in enumerate(REASONS) if index},
        curves={name: np.where(sound[:, None], values, np.nan) for name, values in curves.items()},
        diverged=tuple(diverged),
    )


def stream_metrics(
    ledger: Ledger, sound: Bool[np.ndarray, "R"], bins: int | None = None
) -> dict[str, Float[np.ndarray, "R"]]:
    """What the stream of online sessions so far shows of every run; NaN of those that are not sound, which diverged.

    Args:
        ledger: of every run, every leaf [R, K].
        sound: which runs did not diverge.
        bins: leading ones that count, of a run that goes on (`StreamClock.whole_bins`); all if None.

    Raises:
        InputError: if a sound run has no finished session.
    """
    sessions, reward, turns = (
        np.where(sound[:, None], sums, np.nan)[:, :bins]
        for sums in (ledger.sessions, ledger.reward, ledger.length)
    )
    length = phase_reward(sessions, turns, last=PHASES["final"])
    final = phase_reward(sessions, reward, last=PHASES["final"])
    return {
        "initial_reward": phase_reward(sessions, reward, first=PHASES["initial"]),
        "final_reward": final,
        "mean_reward": mean_reward(sessions, reward),
        "length": length,
        "reward_per_turn": final / length,
    }


def fresh_sessions(program: Program, run: Any, config: StudyConfig, greedy: bool) -> PlayedSessions:
    """Sessions of all runs with their policies as they stand, every leaf [R, S]; users and noise are the same for every
    method.

    Args:
        program: of the stage.
        run: states of its runs, every leaf [R].
        config: says how many sessions.
        greedy: whether the greedy versions of the policies play.
    """
    played, keys = _play_of(program, config), seed_keys(program.seeds, EVALUATION_STREAM)
    return jax.tree.map(np.asarray, played(keys, run, program.hyper, program.data, greedy))


def compile_sessions(program: Program, config: StudyConfig) -> None:
    """Has the program of `fresh_sessions` there before it is called."""
    keys, greedy = seed_keys(program.seeds, EVALUATION_STREAM), jax.ShapeDtypeStruct((), jnp.bool_)
    run, played = program.start.shapes(), _play_of(program, config)
    played.lower(keys, run, program.hyper, program.data, greedy).compile()


def _play_of(program: Program, config: StudyConfig) -> Any:
    return _compiled_play(program.learner, config.evaluation.sessions, program.hyper_axis)


@lru_cache(maxsize=16)
def _compiled_play(learner: Learner, sessions: int, hyper_axis: int | None) -> Any:
    """`play` over runs; sampled and greedy sessions of equal learners share the program."""

    def one_run(key: Any, run: Any, hyper: Any, data: Data, greedy: Any) -> PlayedSessions:
        actor = learner.actor(run, hyper, data.hidden(), greedy)
        return play(key, actor, learner.scene.simulator, data.users_world, sessions, data.likeness)

    return jax.jit(
        jax.vmap(one_run, in_axes=(0, 0, hyper_axis, None, None)), compiler_options=compiler_options()
    )


def _catalogue_metrics(played: PlayedSessions, inputs: Inputs) -> dict[str, list[float]]:
    """Coverage, diversity and novelty of every seed's sessions."""
    vectors, seeds = np.asarray(inputs.world.item_vectors), np.asarray(played.items)
    known = inputs.popularity / len(offline_users(inputs.dataset))
    return {
        "coverage": [coverage(items, vectors.shape[0]) for items in seeds],
        "diversity": [diversity(items, vectors) for items in seeds],
        "novelty": [novelty(items, known) for items in seeds],
    }


def _rebin(values: Float[np.ndarray, "R C"], bins: int) -> Float[np.ndarray, "R K"]:
    """Values per chunk as values per bin of the same run: each bin shows the chunk at its middle."""
    middles = ((np.arange(bins) + 0.5) / bins * values.shape[1]).astype(int)
    return values[:, middles]
