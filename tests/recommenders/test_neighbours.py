"""Similarities by hand, and what follows from them."""

import jax.numpy as jnp
import numpy as np
import pytest
from item_choices import items_dataset

from ialp_jax.artifacts import InputError
from ialp_jax.recommenders import neighbours
from ialp_jax.recommenders.neighbours import Neighbours, NeighboursConfig, fit_neighbours, neighbour_scores
from ialp_jax.worlds.types import Observation


def written_out(dataset, shrinkage):
    """The definition, pair by pair."""
    offline = set(dataset.users.filter(dataset.users["split"] == "offline")["user"].to_list())
    ratings = np.zeros((dataset.num_users, dataset.num_items))
    for user, item, grade in dataset.interactions.select("user", "item", "grade").iter_rows():
        if user in offline:
            ratings[user, item] = grade if dataset.feedback == "explicit" else 1.0
    similarity = np.zeros((dataset.num_items, dataset.num_items))
    for i in range(dataset.num_items):
        for j in range(dataset.num_items):
            norms = np.linalg.norm(ratings[:, i]) * np.linalg.norm(ratings[:, j])
            if i != j and norms + shrinkage > 0:
                similarity[i, j] = ratings[:, i] @ ratings[:, j] / (norms + shrinkage)
    return similarity


@pytest.mark.parametrize("feedback", ["implicit", "explicit"])
@pytest.mark.parametrize("shrinkage", [0.0, 2.5])
def test_similarities_are_the_definition(feedback, shrinkage):
    dataset = items_dataset(feedback)
    fit = fit_neighbours(dataset, NeighboursConfig(neighbours=99, shrinkage=shrinkage))
    np.testing.assert_allclose(fit.similarity, written_out(dataset, shrinkage), atol=1e-6)


def test_only_the_nearest_are_kept_and_those_that_tie_with_them():
    fit = fit_neighbours(items_dataset(), NeighboursConfig(neighbours=3, shrinkage=1.0))
    whole = written_out(items_dataset(), 1.0)
    for kept, row in zip(np.asarray(fit.similarity), whole, strict=True):
        least = np.sort(row)[-3]
        np.testing.assert_allclose(kept, np.where(row >= least - 1e-6, row, 0.0), atol=1e-6)
        assert (kept > 0).sum() >= 3


def test_scores_add_up_what_was_liked():
    similarity = jnp.array([[0.0, 0.5, 0.2, 0.0], [0.5, 0, 0.1, 0], [0.2, 0.1, 0, 0.9], [0, 0, 0.9, 0]])
    fit = Neighbours(similarity, jnp.array([0.1, 0.2, 1.0, 0.4]))
    liked = Observation(jnp.array([4, 0, 1, 3]), jnp.array([0.0, 1.0, 0.5, 0.0]))
    np.testing.assert_allclose(neighbour_scores(fit, liked), [0.25, 0.5, 0.25, 0.0], atol=2e-6)
    disliked = liked.replace(feedback=jnp.zeros(4))
    np.testing.assert_array_equal(np.argsort(neighbour_scores(fit, disliked)), [0, 1, 3, 2])


def test_a_catalogue_that_is_too_large_is_refused(monkeypatch):
    monkeypatch.setattr(neighbours, "MOST_ITEMS", 10)
    with pytest.raises(InputError, match="15 items are too many"):
        fit_neighbours(items_dataset(), NeighboursConfig())
