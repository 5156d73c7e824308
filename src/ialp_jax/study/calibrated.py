"""What recorded sessions of offline users say of the recommender's own numbers, and which stages therefore read them."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from ialp_jax.artifacts import InputError
from ialp_jax.data.dataset import Dataset
from ialp_jax.learning.logged import LoggedSessions
from ialp_jax.methods.base import Need, Stage
from ialp_jax.recommenders.calibration import answers, calibrate
from ialp_jax.recommenders.exits import exit_threshold, nearest_recent
from ialp_jax.recommenders.factors import FactorsConfig
from ialp_jax.recommenders.fold_in import fit_fold_in
from ialp_jax.study.config import StudyConfig
from ialp_jax.study.factors import LikenessConfig
from ialp_jax.worlds.logs_world import LogsWorldConfig
from ialp_jax.worlds.world import World


def reads_recorded(stage: Stage, config: StudyConfig) -> bool:
    """Whether a stage reads recorded sessions: as they are, or what was calibrated by them."""
    if Need.RECORDED in stage.needs:
        return True
    apart = Need.LIKENESS in stage.needs and config.likeness.percentile is None
    imagined = bool({Need.LOGS_WORLD, Need.MIXED_WORLD} & stage.needs) and config.logs_world.calibrated
    return apart or imagined


def kept_apart_within(
    logged: LoggedSessions, points: Float[np.ndarray, "N k"], rule: LikenessConfig
) -> float:
    """Distance within which items are kept apart, by where the users of recorded sessions left."""
    return exit_threshold(*nearest_recent(logged, points, rule.window), rule.exit_rate)


def by_recorded(
    dataset: Dataset, factors: FactorsConfig, config: LogsWorldConfig, logged: LoggedSessions
) -> LogsWorldConfig:
    """The settings of the logs' world with the popularity weight that recorded feedback fits best.

    Raises:
        InputError: if the recorded feedback does not grow with the affinities.
    """
    offline = fit_fold_in(dataset, factors)
    scale = calibrate(offline, answers(offline, logged))
    if float(scale.personal) <= 0.0:
        raise InputError("recorded feedback does not grow with the affinities of the logs", column="logs_world.calibrated",
                         fix="record more sessions (logged.sessions), or set it to false")  # fmt: skip
    weight = max(float(scale.popular) / float(scale.personal), 0.0)
    return replace(config, popularity_weight=weight)


def leaving_by_recorded(world: World, logged: LoggedSessions, window: int, exit_rate: float) -> World:
    """The logs' world whose users leave as those of recorded sessions did, by the distances of the logs."""
    points = np.asarray(world.item_vectors)
    threshold = exit_threshold(*nearest_recent(logged, points, window), exit_rate)
    departure = world.departure.replace(distance_threshold=np.float32(threshold))  # type: ignore[attr-defined]
    return world.replace(departure=departure)  # type: ignore[attr-defined, no-any-return]
