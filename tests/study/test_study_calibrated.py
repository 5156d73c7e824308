"""What recorded sessions calibrate: numbers of the recommender, in the keys and the costs of the stages that read them."""

import io
from dataclasses import replace

import numpy as np
import pytest
from made_tables import tiny_dataset
from rich.console import Console

from ialp_jax.methods import get
from ialp_jax.policies.config import PolicyConfig
from ialp_jax.recommenders.calibration import affinities, answers
from ialp_jax.recommenders.exits import nearest_recent
from ialp_jax.recommenders.factors import FactorsConfig
from ialp_jax.recommenders.fold_in import fit_fold_in
from ialp_jax.study.config import StudyConfig
from ialp_jax.study.decision import concrete
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
# With the default penalty the factors of so few users are 0.
WEAK = replace(CONFIG, factors=FactorsConfig(rank=8, regularisation=0.3))
PLAIN = {"methods.a2c.look": False, "methods.ialp.look": False, "methods.ialp.world": "table"}
LOOK = {"methods.a2c.look": True}
CALIBRATED = {"methods.ialp.world": "logs", "logs_world.calibrated": True}


def inputs(out, config=CONFIG):
    return Inputs(tiny_dataset(), concrete(config), out, Console(file=io.StringIO()))


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


def recorded(made, personal, popular):
    """The recorded sessions, as if every answer were .3 + personal affinity + popularity, each times its weight."""
    offline, logged = fit_fold_in(made.dataset, made.config.factors), made.recorded
    given = answers(offline, logged)
    feedback = np.array(logged.feedback)
    level = 0.3 + personal * affinities(offline, given) + popular * offline.popular[given.item]
    feedback[logged.turns[:, 0], logged.turns[:, 1]] = level
    return logged.replace(feedback=feedback)


def test_the_calibrated_logs_world_has_its_own_popularity_and_threshold(tmp_path):
    config = apply(WEAK, {"logs_world.exit_rate": 0.2, "logged.sessions": 400})
    plain, calibrated = (
        inputs(tmp_path, apply(config, {"logs_world.calibrated": on})) for on in (False, True)
    )
    calibrated.__dict__["recorded"] = recorded(calibrated, personal=0.2, popular=0.1)
    worlds = [plain.logs_world, calibrated.logs_world]
    thresholds = [float(world.departure.distance_threshold) for world in worlds]
    assert thresholds[0] != thresholds[1] > 0.0
    np.testing.assert_array_equal(worlds[0].ratings.users, worlds[1].ratings.users)
    means = [np.asarray(world.ratings.items)[:, -1] for world in worlds]
    scaled = [mean - mean.mean() for mean in means]
    np.testing.assert_allclose(scaled[1], 0.5 * scaled[0], rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize("personal", [-0.2, 0.0])
def test_recordings_that_say_nothing_of_tastes_calibrate_nothing_and_that_is_said(tmp_path, personal):
    console = Console(file=io.StringIO(), width=300)
    made = Inputs(tiny_dataset(), apply(WEAK, {"logs_world.calibrated": True}), tmp_path, console)
    made.__dict__["recorded"] = recorded(made, personal, popular=0.1)
    plain = inputs(tmp_path, apply(WEAK, {"logs_world.calibrated": False})).logs_world
    np.testing.assert_array_equal(made.logs_world.ratings.items, plain.ratings.items)
    assert "say nothing of tastes" in console.file.getvalue()


@pytest.mark.parametrize(("method", "change"), [("a2c", LOOK), ("ialp", CALIBRATED)])
def test_recorded_sessions_count_and_decide_where_they_calibrate(tmp_path, method, change):
    other = {"logged.sessions": 61}
    plain, changed = apply(CONFIG, PLAIN), apply(CONFIG, PLAIN | change)
    for config, reads in ((plain, False), (changed, True)):
        keys = {static_key(stage(method, one), one) for one in (config, apply(config, other))}
        assert len(keys) == 1 + reads
        made = inputs(tmp_path, config)
        steps = costs_of((stage(method, config),), made, config).logged_steps
        assert steps == (int(np.sum(made.recorded.length)) if reads else 0)


def test_a_percentile_needs_no_recorded_sessions():
    config = replace(apply(CONFIG, LOOK), likeness=LikenessConfig(percentile=30.0))
    assert (
        len({static_key(stage("a2c", one), one) for one in (config, apply(config, {"logged.sessions": 61}))})
        == 1
    )
