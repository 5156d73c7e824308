"""What recorded sessions of offline users say of the recommender's own numbers, and which stages therefore read them."""

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ialp_jax.data.dataset import Dataset
from ialp_jax.learning.logged import LoggedSessions
from ialp_jax.methods.base import Stage, Untrained
from ialp_jax.methods.needs import Need
from ialp_jax.recommenders.calibration import affinities, answers, calibrate
from ialp_jax.recommenders.exits import exit_threshold, exits_go_with_likeness, nearest_recent
from ialp_jax.recommenders.factors import FactorsConfig
from ialp_jax.recommenders.fold_in import fit_fold_in
from ialp_jax.study.config import StudyConfig
from ialp_jax.worlds.fit.points import sampled_distances
from ialp_jax.worlds.logs_world import LogsWorldConfig
from ialp_jax.worlds.world import World

# Of the standard deviation of recorded feedback, what personal affinities must explain: a share below it is rounding.
LEAST_EXPLAINED = 1e-3
# Share of all pairs beyond which the distance that is read off says nothing of where exits end.
MOST_APART = 0.7


def reads_recorded(stage: Stage, config: StudyConfig) -> bool:
    """Whether a stage reads recorded sessions: as they are, or what was calibrated by them."""
    if Need.RECORDED in stage.needs:
        return True
    apart = Need.LIKENESS in stage.needs and config.likeness.percentile is None
    imagined = bool({Need.LOGS_WORLD, Need.MIXED_WORLD} & stage.needs) and config.logs_world.calibrated
    return apart or imagined


def follows(stage: Stage, questions: Collection[str]) -> bool:
    """Whether a stage is made by what is decided with recorded sessions: what is kept apart, or where its network starts.

    Args:
        stage: of a method.
        questions: those that were decided, of "likeness" and "start" (`marks.ByEvidence`).
    """
    starts = any(isinstance(start, Untrained) for start in stage.after)
    return ("likeness" in questions and Need.LIKENESS in stage.needs) or ("start" in questions and starts)


def told_of_users(stages: Iterable[Stage], config: StudyConfig, questions: Collection[str] = ()) -> list[str]:
    """What stages are told of the users' own rules by what they read, and by what was decided for them, each once."""
    chosen = tuple(stages)
    needs = frozenset().union(*(stage.needs for stage in chosen))
    if any(reads_recorded(stage, config) or follows(stage, questions) for stage in chosen):
        needs |= {Need.RECORDED}
    return list(dict.fromkeys(need.told for need in Need if need in needs and need.told))


class KeptApart(NamedTuple):
    """What recorded sessions say of how near is too near.

    Attributes:
        distance: items nearer than it are kept apart; 0 for nothing.
        noisy: whether they are too few or too noisy to say where exits end, so that it is the widest that is allowed.
    """

    distance: float
    noisy: bool = False


def kept_apart_within(
    logged: LoggedSessions,
    points: Float[np.ndarray, "N k"],
    window: int,
    exit_rate: float,
    at_most: float | None = None,
) -> KeptApart:
    """How near items are kept apart, by where the users of recorded sessions left.

    Where more than a share `MOST_APART` of all pairs would be, either distances of few logs are too noisy to say where exits
    end, or it is not likeness that users leave for.

    Args:
        logged: recorded sessions.
        points: items as points.
        window: how many of the last items count.
        exit_rate: largest chance of an exit.
        at_most: percentile of all pairs that are kept apart in the first of these cases; None for none.
    """
    distance, left = nearest_recent(logged, points, window)
    threshold = exit_threshold(distance, left, exit_rate)
    pairs = sampled_distances(points, 0)
    if np.mean(pairs < threshold) <= MOST_APART:
        return KeptApart(threshold)
    widest = 0.0 if at_most is None else float(np.percentile(pairs, at_most))
    return KeptApart(widest, noisy=True) if exits_go_with_likeness(distance, left, widest) else KeptApart(0.0)


def by_recorded(
    dataset: Dataset, factors: FactorsConfig, config: LogsWorldConfig, logged: LoggedSessions
) -> LogsWorldConfig:
    """The settings of the logs' world with the popularity weight that recorded feedback fits best.

    As they are where that feedback does not grow with the affinities by more than rounding: it then says nothing of them.
    """
    offline = fit_fold_in(dataset, factors)
    given = answers(offline, logged)
    scale = calibrate(offline, given)
    explained = float(scale.personal * jnp.std(affinities(offline, given)))
    if explained <= LEAST_EXPLAINED * float(jnp.std(given.feedback)):
        return config
    weight = max(float(scale.popular) / float(scale.personal), 0.0)
    return replace(config, popularity_weight=weight)


def leaving_by_recorded(world: World, logged: LoggedSessions, window: int, exit_rate: float) -> World:
    """The logs' world whose users leave as those of recorded sessions did, by the distances of the logs."""
    threshold = kept_apart_within(logged, np.asarray(world.item_vectors), window, exit_rate).distance
    departure = world.departure.replace(distance_threshold=np.float32(threshold))  # type: ignore[attr-defined]
    return world.replace(departure=departure)  # type: ignore[attr-defined, no-any-return]
