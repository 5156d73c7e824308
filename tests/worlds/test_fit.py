"""The fit recovers known structure, its pieces satisfy their definitions, and it reports what it did."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
from random_worlds import random_world
from sklearn.metrics import roc_auc_score

from ialp_jax.artifacts import InputError, plain, read_arrays, write_arrays
from ialp_jax.data import coat, steam
from ialp_jax.data.build import DataConfig
from ialp_jax.data.dataset import Dataset
from ialp_jax.worlds.arrays import world_from_arrays, world_to_arrays
from ialp_jax.worlds.fit.accuracy import rank_auc
from ialp_jax.worlds.fit.affinity import fold, grade_thresholds
from ialp_jax.worlds.fit.config import FitConfig
from ialp_jax.worlds.fit.factorisation import Factors, factorise, make_pairs
from ialp_jax.worlds.fit.factors import hold_out
from ialp_jax.worlds.fit.fit import fit_world
from ialp_jax.worlds.fit.points import column_points
from ialp_jax.worlds.world import DenseRatings, GradedFactorRatings


def small_dataset(feedback="implicit", known=False, users=60, items=40, seed=0):
    """Two kinds of users who like two kinds of items, as a `Dataset`."""
    generator = np.random.default_rng(seed)
    taste, kind = generator.integers(0, 2, users), generator.integers(0, 2, items)
    liking = np.where(taste[:, None] == kind[None, :], 0.4, 0.04)
    touched = generator.random((users, items)) < liking
    touched[:, :2] = True
    user, item = np.nonzero(touched)
    ratings = np.where(taste[:, None] == kind[None, :], 4.0, 2.0) + generator.integers(-1, 2, (users, items))
    grade = (ratings[user, item] - 1) / 4
    position = np.concatenate([np.arange(count) for count in touched.sum(axis=1)])
    last = position >= np.repeat(touched.sum(axis=1), touched.sum(axis=1)) - 1
    explicit = feedback == "explicit"
    frame = pl.DataFrame({
        "user": user.astype(np.int32), "item": item.astype(np.int32), "value": ratings[user, item],
        "grade": grade.astype(np.float32), "position": position.astype(np.int32),
        "part": np.where(last, "history", "held_out").tolist(),
    })  # fmt: skip
    return Dataset(
        name="small", source="synthetic", domain="generic", feedback=feedback,
        users=pl.DataFrame({
            "user": np.arange(users, dtype=np.int32), "raw_id": [f"u{n}" for n in range(users)],
            "split": ["offline", "online"] * (users // 2),
        }),
        items=pl.DataFrame({
            "item": np.arange(items, dtype=np.int32), "raw_id": [f"i{n}" for n in range(items)],
            "title": [f"Item {n}" for n in range(items)], "text": [""] * items,
            "categories": [["all", "left"] if one else ["all"] for one in kind],
        }),
        interactions=frame, known_ratings=ratings.astype(np.float32) if known else None,
        rating_range=(1.0, 5.0) if explicit else (0.0, 1.0), statements=(),
    )  # fmt: skip


def dense_solution(targets, weights, rank, regularisation, start, sweeps):
    """Alternating least squares once more, with every cell of the matrix and no trick."""
    users = len(targets)
    mean = (weights * targets).sum() / weights.sum()
    user_side, item_side = np.zeros((users, rank + 1)), start.astype(float)

    def solve(other, targets, weights):
        features = np.column_stack([other[:, :-1], np.ones(len(other))])
        rows = []
        for target, weight in zip(targets, weights, strict=True):
            gram = (features.T * weight) @ features + regularisation * np.eye(rank + 1)
            rows.append(np.linalg.solve(gram, (features.T * weight) @ (target - mean - other[:, -1])))
        return np.array(rows)

    for _ in range(sweeps):
        user_side = solve(item_side, targets, weights)
        item_side = solve(user_side, targets.T, weights.T)
    bias = mean + user_side[:, -1:] + item_side[None, :, -1]
    return bias + user_side[:, :-1] @ item_side[:, :-1].T


@pytest.mark.parametrize("unobserved", [0.0, 0.1])
def test_factorisation_equals_the_dense_solution(unobserved):
    generator = np.random.default_rng(0)
    observed = generator.random((12, 9)) < 0.5
    targets = np.where(observed, generator.uniform(1, 5, (12, 9)), 0.0)
    weights = np.where(observed, generator.uniform(1, 2, (12, 9)), unobserved)
    user, item = np.nonzero(observed)
    pairs = make_pairs(user, item, targets[observed], weights[observed], unobserved)
    factors = factorise(pairs, (12, 9), 2, 3, 0.5, unobserved, seed=4)
    start = np.asarray(0.1 * jax.random.normal(jax.random.key(4), (9, 3)).at[:, -1].set(0.0))
    found = (
        factors.mean + factors.user_bias[:, None] + factors.item_bias[None] + factors.user @ factors.item.T
    )
    np.testing.assert_allclose(found, dense_solution(targets, weights, 2, 0.5, start, 3), atol=2e-4)


def random_factors(seed=0):
    generator = np.random.default_rng(seed)
    shapes = [(), (7, 3), (7,), (5, 3), (5,)]
    return Factors(*(jnp.asarray(generator.normal(size=shape), jnp.float32) for shape in shapes))


def test_folding_keeps_affinities_and_popularity_weight_only_scales_item_means():
    factors = random_factors()
    full = factors.mean + factors.user_bias[:, None] + factors.item_bias[None] + factors.user @ factors.item.T
    whole, half, none = (
        users @ items.T for users, items in (fold(factors, weight) for weight in (1.0, 0.5, 0.0))
    )
    np.testing.assert_allclose(whole, full, atol=1e-5)
    means = whole.mean(axis=0)
    np.testing.assert_allclose(half.mean(axis=0) - means.mean(), 0.5 * (means - means.mean()), atol=1e-5)
    np.testing.assert_allclose(none.mean(axis=0), means.mean(), atol=1e-5)
    np.testing.assert_allclose(half - half.mean(axis=0), whole - means, atol=1e-5)


def test_points_are_as_far_apart_as_rating_columns():
    users, items = fold(random_factors(), 1.0)
    columns, points = users @ items.T, column_points(users, items)
    for first in range(5):
        expected = np.sqrt(np.mean((columns - columns[:, [first]]) ** 2, axis=0))
        np.testing.assert_allclose(np.linalg.norm(points - points[first], axis=1), expected, atol=1e-5)


def test_every_user_grades_the_same_share_of_the_catalogue():
    generator = np.random.default_rng(0)
    users, items = generator.normal(size=(300, 4)), generator.normal(size=(200, 4))
    thresholds = grade_thresholds(users, items, (80.0, 90.0, 95.0, 98.0))
    above = ((users @ items.T)[:, :, None] >= thresholds[:, None, :]).sum(axis=1)
    np.testing.assert_array_equal(above, np.tile([40, 20, 10, 4], (300, 1)))


def test_rank_auc_equals_scikit_learn():
    generator = np.random.default_rng(0)
    scores, positive = generator.integers(0, 5, 50), generator.random(50) < 0.3
    assert rank_auc(scores, positive) == pytest.approx(roc_auc_score(positive, scores))
    assert np.isnan(rank_auc(scores, np.ones(50, bool)))


def test_implicit_feedback_becomes_a_graded_world():
    dataset = small_dataset(users=300, items=60)
    config = FitConfig(rank=2, regularisation=3.0, distance_percentile=10.0, popularity_weight=0.5)
    world, report = fit_world(dataset, config, history_length=3)
    assert isinstance(world.ratings, GradedFactorRatings)
    assert report.held_out["factorisation"].auc > 0.65 > report.held_out["popularity"].auc
    assert report.held_out["factorisation"].rmse < report.held_out["mean"].rmse
    assert list(report.held_out) == ["world", "factorisation", "popularity", "mean"]
    assert report.distance_percentile == pytest.approx(10.0, abs=0.5)
    assert report.popularity_weight == 0.5 and "weighted 0.5" in report.statements[0]
    assert 0 < report.item_mean_share < 1 and 0 < report.user_blind_share <= 1
    assert world.session_users.tolist() == list(range(1, 300, 2))
    assert world.item_categories.shape == (60, 2) and bool(world.item_categories[:, 0].all())
    ratings = np.asarray(jax.vmap(world.ratings.of_all)(jnp.arange(60)))
    assert set(np.unique(ratings)) == {0.0, 0.25, 0.5, 0.75, 1.0}
    single = jax.vmap(world.ratings.of, (None, 0))(jnp.int32(5), jnp.arange(60))
    np.testing.assert_array_equal(single, ratings[5])
    json.dumps(plain(report), allow_nan=False)


def test_explicit_ratings_stay_on_their_scale_and_beat_the_means():
    dataset = small_dataset("explicit", users=300, items=60)
    world, report = fit_world(dataset, FitConfig(rank=2, regularisation=2.0), 3)
    ratings = np.asarray(jax.vmap(world.ratings.of_all)(jnp.arange(300)))
    assert ratings.min() >= 1.0 and ratings.max() <= 5.0
    assert report.held_out["factorisation"].rmse < report.held_out["mean"].rmse
    assert world.session_users.tolist() == list(range(1, 300, 2))  # the online ones


def test_a_published_matrix_is_taken_as_it_is():
    dataset = small_dataset("explicit", known=True)
    world, report = fit_world(dataset, FitConfig(rank=2, distance_threshold=6.0), 3)
    assert isinstance(world.ratings, DenseRatings)
    np.testing.assert_array_equal(world.ratings.table, dataset.known_ratings)
    np.testing.assert_array_equal(world.item_vectors, dataset.known_ratings.T)
    assert world.departure.distance_threshold == 6.0 and report.distance_threshold == 6.0
    # Nothing is factorised: what is said of it is of the matrix, in which the logged ratings stand.
    assert list(report.held_out) == ["world", "popularity", "mean"]
    assert report.held_out["world"].auc == 1.0 and report.held_out["world"].rmse == 0.0


@pytest.mark.parametrize("feedback", ["implicit", "explicit"])
def test_the_world_that_is_played_is_the_one_whose_accuracy_is_said(feedback, monkeypatch):
    """Not its factorisation: what is reweighted, graded and clipped, as played, fitted without what is held out."""
    dataset = small_dataset(feedback, users=300, items=60)
    config = FitConfig(
        rank=2, popularity_weight=0.5, grades=(0.0, 1.0), grade_percentiles=(80.0,), weaken=False
    )
    held = hold_out(dataset, config)
    # A fit on all is then one on what is not held out: its world is what should have been measured.
    monkeypatch.setattr("ialp_jax.worlds.fit.fit.fit_factors", lambda *_: held.factors)
    world, report = fit_world(dataset, config, 3)
    frame = dataset.interactions
    users, items, values = (frame[name].to_numpy() for name in ("user", "item", "value"))
    aucs = []
    for user in np.unique(users[held.chosen]):
        ratings = np.asarray(world.ratings.of_all(jnp.int32(user)))
        kept = items[held.chosen & (users == user)]
        if feedback == "implicit":
            untouched = np.setdiff1d(np.arange(dataset.num_items), items[users == user])
            scores, truth = (
                np.append(ratings[kept], ratings[untouched]),
                np.arange(kept.size + untouched.size) < kept.size,
            )
        else:
            given = values[held.chosen & (users == user)]
            scores, truth = ratings[kept], given > given.mean()
        aucs.append(rank_auc(scores, truth))
    assert report.held_out["world"].auc == pytest.approx(np.nanmean(aucs), abs=1e-6)
    assert abs(report.held_out["world"].auc - report.held_out["factorisation"].auc) > 0.01
    assert (report.held_out["world"].rmse is None) == (feedback == "implicit")


def test_the_fit_depends_on_the_seed_alone():
    worlds = [fit_world(small_dataset(), FitConfig(rank=3, seed=seed), 3)[0] for seed in (0, 0, 1)]
    leaves = [jax.tree.leaves(world) for world in worlds]
    assert all(np.array_equal(*pair) for pair in zip(leaves[0], leaves[1], strict=True))
    assert not np.array_equal(worlds[0].ratings.users, worlds[2].ratings.users)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"grades": (0.0, 1.0)}, "fit.grades"),
        ({"grade_percentiles": (90.0, 80.0, 95.0, 98.0)}, "fit.grade_percentiles"),
        ({"grades": (0.1, 0.25, 0.5, 0.75, 1.0)}, "fit.grades"),
        ({"rank": 0}, "rank: 0 is out of range"),
        ({"held_out_fraction": 1.0}, "held_out_fraction: 1 is out of range"),
    ],
)
def test_wrong_settings_are_named(wrong, named):
    with pytest.raises(InputError, match=named):
        FitConfig(**wrong)


def test_a_split_without_users_is_refused():
    dataset = small_dataset()
    offline = dataclasses.replace(dataset, users=dataset.users.with_columns(split=pl.lit("offline")))
    with pytest.raises(InputError, match="no user"):
        fit_world(offline, FitConfig(rank=2), 3)


def test_worlds_survive_storing(tmp_path):
    dense, graded = random_world(), fit_world(small_dataset(), FitConfig(rank=2), 3)[0]
    for world in (dense, graded):
        write_arrays(tmp_path / "world.npz", world_to_arrays(world))
        again = world_from_arrays(read_arrays(tmp_path / "world.npz"))
        assert jax.tree.structure(again) == jax.tree.structure(world)
        for left, right in zip(jax.tree.leaves(world), jax.tree.leaves(again), strict=True):
            np.testing.assert_array_equal(left, right)
            assert left.dtype == right.dtype


def test_incomplete_stored_worlds_are_refused():
    arrays = world_to_arrays(random_world())
    del arrays["departure.rating_floor"]
    with pytest.raises(InputError, match=r"departure\.rating_floor"):
        world_from_arrays(arrays)
    with pytest.raises(InputError, match="unknown kind"):
        world_from_arrays({**arrays, "ratings.kind": np.array("magic")})


def test_steam_is_predicted_better_than_by_popularity(shared_data):
    dataset = steam.load(shared_data / "steam", DataConfig())
    _, report = fit_world(dataset, FitConfig(), 10)
    assert report.held_out["factorisation"].auc > 0.89
    assert report.held_out["factorisation"].auc > report.held_out["popularity"].auc + 0.04


def test_coat_is_the_published_world(shared_data):
    """Distances between off-diagonal rating columns as measured in the data's README."""
    dataset = coat.load(shared_data / "coat", DataConfig())
    world, report = fit_world(dataset, FitConfig(distance_threshold=6.0), 10)
    assert world.ratings.table.shape == (290, 300)
    assert report.distances["0 %"] == pytest.approx(3.742, abs=1e-3)
    assert report.distances["100 %"] == pytest.approx(30.887, abs=1e-3)
    assert report.distance_percentile == pytest.approx(1.7, abs=0.05)
