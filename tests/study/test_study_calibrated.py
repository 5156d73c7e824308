"""What recorded sessions calibrate: numbers of the recommender, in the keys and the costs of the stages that read them."""

import io
from dataclasses import replace

import numpy as np
import pytest
from made_tables import tiny_dataset
from rich.console import Console

from ialp_jax.artifacts import InputError
from ialp_jax.methods import get
from ialp_jax.policies.config import PolicyConfig
from ialp_jax.recommenders.exits import nearest_recent
from ialp_jax.recommenders.factors import FactorsConfig
from ialp_jax.study.config import StudyConfig
from ialp_jax.study.factors import LikenessConfig, likeness_points
from ialp_jax.study.fields import apply
from ialp_jax.study.inputs import Inputs
from ialp_jax.study.logged import LoggedConfig
from ialp_jax.study.measure import costs_of
from ialp_jax.study.stages import stages_of, static_key
from ialp_jax.worlds.simulator import SimulatorConfig

CONFIG = StudyConfig(
    methods=("a2c", "ialp"),
    simulator=SimulatorConfig(turn_cap=4),
    policy=PolicyConfig(embedding=4, hidden=4),
    factors=FactorsConfig(rank=3, iterations=4),
    logged=LoggedConfig(sessions=60),
    likeness=LikenessConfig(percentile=None, window=2, exit_rate=0.05),
)
LOOK = {"methods.a2c.look": True}
CALIBRATED = {"methods.ialp.world": "logs", "logs_world.calibrated": True}


def inputs(out, config=CONFIG):
    return Inputs(tiny_dataset(), config, out, Console(file=io.StringIO()))


def stage(method, config):
    return stages_of(get(method), config)[0]


def test_what_is_kept_apart_is_what_ended_recorded_sessions(tmp_path):
    made = inputs(tmp_path)
    near = np.unpackbits(np.asarray(made.likeness.near), axis=1, bitorder="little")[
        :, : made.dataset.num_items
    ]
    points = likeness_points(made.factors)
    distance, left = nearest_recent(made.recorded, points, 2)
    apart = np.linalg.norm(points[:, None] - points[None], axis=-1)
    threshold = apart[near == 0].min()
    beyond = distance >= threshold * (1 - 1e-5)
    assert left[beyond].mean() <= 0.05 < left.mean() < left[~beyond].mean()


def test_the_calibrated_logs_world_has_its_own_popularity_and_threshold(tmp_path):
    config = replace(CONFIG, logged=LoggedConfig(sessions=400), factors=FactorsConfig(rank=8))
    plain, calibrated = (
        inputs(
            tmp_path, apply(config, {"logs_world.calibrated": on, "logs_world.exit_rate": 0.05})
        ).logs_world
        for on in (False, True)
    )
    assert float(plain.departure.distance_threshold) != float(calibrated.departure.distance_threshold) > 0.0
    np.testing.assert_array_equal(plain.ratings.users, calibrated.ratings.users)
    means = [np.asarray(world.ratings.items)[:, -1] for world in (plain, calibrated)]
    scaled = [mean - mean.mean() for mean in means]
    weight = scaled[1][0] / scaled[0][0]
    assert weight >= 0.0
    np.testing.assert_allclose(scaled[1], weight * scaled[0], rtol=1e-3, atol=1e-5)


def test_recordings_that_say_nothing_of_tastes_are_refused(tmp_path):
    """These few sessions happen to answer against the affinities."""
    with pytest.raises(InputError, match=r"logs_world\.calibrated"):
        _ = inputs(tmp_path, apply(CONFIG, {"logs_world.calibrated": True})).logs_world


@pytest.mark.parametrize(("method", "change"), [("a2c", LOOK), ("ialp", CALIBRATED)])
def test_recorded_sessions_count_and_decide_where_they_calibrate(tmp_path, method, change):
    other = {"logged.sessions": 61}
    plain, changed = apply(CONFIG, {}), apply(CONFIG, change)
    for config, reads in ((plain, False), (changed, True)):
        keys = {static_key(stage(method, one), one) for one in (config, apply(config, other))}
        assert len(keys) == 1 + reads
        made = inputs(tmp_path, config)
        steps = costs_of((stage(method, config),), made, config).logged_steps
        assert steps == (int(np.sum(made.recorded.length)) if reads else 0)


def test_a_percentile_needs_no_recorded_sessions():
    config = replace(apply(CONFIG, LOOK), likeness=LikenessConfig())
    assert (
        len({static_key(stage("a2c", one), one) for one in (config, apply(config, {"logged.sessions": 61}))})
        == 1
    )
