"""What is kept apart, and where embeddings start, as a study makes them of the offline users' logs and the texts."""

import io
from dataclasses import replace

import numpy as np
import pytest
from made_tables import tiny_dataset
from rich.console import Console

from ialp_jax.methods import get
from ialp_jax.methods.needs import Need
from ialp_jax.policies.config import PolicyConfig
from ialp_jax.recommenders.factors import FactorsConfig, offline_factors
from ialp_jax.study.config import StudyConfig
from ialp_jax.study.factors import LikenessConfig, factor_vectors, likeness_points
from ialp_jax.study.fields import apply
from ialp_jax.study.inputs import Inputs
from ialp_jax.study.stages import stages_of, static_key, untrained_params
from ialp_jax.worlds.simulator import SimulatorConfig

CONFIG = StudyConfig(
    methods=("a2c",),
    simulator=SimulatorConfig(turn_cap=4),
    policy=PolicyConfig(embedding=4, hidden=4, item_start="text"),
    factors=FactorsConfig(rank=3, iterations=4),
    likeness=LikenessConfig("logs", percentile=20.0, window=2),
)


@pytest.fixture(scope="module")
def dataset():
    return tiny_dataset()


def inputs(dataset, out, config=CONFIG):
    return Inputs(dataset, config, out, Console(file=io.StringIO()))


def keys_of(look, *changes):
    """Keys of A2C's stage in studies that were changed so, without those that are equal."""
    configs = [apply(CONFIG, {"methods.a2c.look": look, **change}) for change in ({}, *changes)]
    return {static_key(stages_of(get("a2c"), config)[0], config) for config in configs}


def test_points_are_as_far_apart_as_the_columns_of_affinities(dataset):
    """Root mean squares over the users of the differences of their affinities."""
    factors = offline_factors(dataset, CONFIG.factors)
    user, item = (np.asarray(part, np.float64) for part in (factors.user, factors.item))
    affinities = np.asarray(factors.user_bias)[:, None] + np.asarray(factors.item_bias)[None] + user @ item.T
    columns = affinities.T / np.sqrt(len(user))
    points = likeness_points(factors).astype(np.float64)
    ours, theirs = (np.linalg.norm(rows[:, None] - rows[None], axis=-1) for rows in (points, columns))
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("source", ["logs", "text"])
def test_the_table_holds_about_the_share_of_pairs_that_is_asked_for(dataset, tmp_path, source):
    likeness = inputs(dataset, tmp_path, replace(CONFIG, likeness=LikenessConfig(source, 20.0, 2))).likeness
    near = np.unpackbits(np.asarray(likeness.near), axis=1, bitorder="little")[:, : dataset.num_items]
    apart = ~np.eye(dataset.num_items, dtype=bool)
    assert likeness.window == 2 and near.diagonal().all() and np.array_equal(near, near.T)
    assert near[apart].mean() == pytest.approx(0.2, abs=0.05)


def test_only_stages_that_keep_items_apart_are_given_the_rule(dataset, tmp_path):
    made = inputs(dataset, tmp_path)
    for look in (False, True):
        (stage,) = stages_of(get("a2c"), apply(CONFIG, {"methods.a2c.look": look}))
        assert (Need.LIKENESS in stage.needs) == look
        assert made.data(stage).likeness is (made.likeness if look else None)


@pytest.mark.parametrize(
    "change", [{"likeness.percentile": 10.0}, {"likeness.window": 3}, {"likeness.source": "text"}, {"factors.rank": 2}]
)  # fmt: skip
def test_the_rule_is_part_of_the_key_of_stages_that_follow_it(change):
    assert len(keys_of(False, change)) == 1 and len(keys_of(True, change)) == 2


def test_the_factors_are_part_of_the_key_of_stages_that_read_them():
    text, factors = {"likeness.source": "text"}, {"factors.rank": 2}
    assert len(keys_of(True, text, text | factors)) == 2
    starts = {"policy.item_start": "factors"}
    assert len(keys_of(False, starts, starts | factors)) == 3


def test_embeddings_start_at_the_factors_also_where_inputs_are_shared(dataset, tmp_path):
    """Settings of a sweep share inputs that were made for the first of them."""
    shared = inputs(dataset, tmp_path)
    config = apply(CONFIG, {"policy.item_start": "factors"})
    start = {
        name: np.asarray(untrained_params(shared, study, np.array([0]))["items"][0])
        for name, study in (("text", CONFIG), ("factors", config))
    }
    vectors = factor_vectors(offline_factors(dataset, CONFIG.factors))
    np.testing.assert_array_equal(start["factors"], vectors[:, :4])
    np.testing.assert_array_equal(start["text"], shared.text_vectors)
    assert np.sqrt(np.mean(np.sum(vectors**2, axis=1))) == pytest.approx(1.0, rel=1e-5)


def test_factors_that_tell_no_item_from_another_are_zeros(dataset):
    factors = offline_factors(dataset, CONFIG.factors)
    equal = replace(factors, item=0 * factors.item, item_bias=0 * factors.item_bias)
    np.testing.assert_array_equal(factor_vectors(equal), 0.0)
