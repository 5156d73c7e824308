"""Behaviour cloning: its loss is the cross-entropy of what was liked, and it recovers the policy that logged."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_optima import ITEMS, NETWORK, logged_in, scene, world_of
from tiny_runs import tiny_params

from ialp_jax.methods.base import Data
from ialp_jax.methods.learners.offline import OfflineConfig
from ialp_jax.methods.named.bc import CloningHyper, CloningLearner, cloning_loss

pytestmark = pytest.mark.usefixtures("batched_keys")
WORLD = world_of("by the history")


def next_item(params, logged, rows):
    """Probabilities of the next item for rows, what is excluded left out."""
    batch = logged.rows(rows, ITEMS)
    features = NETWORK.begin(params, batch.window).features
    items, bias = NETWORK.catalogue(params)
    logits = np.array(NETWORK.query(params, features) @ items.T + bias[None])
    for row, excluded in enumerate(np.asarray(batch.limits.excluded)):
        logits[row, excluded[excluded < ITEMS]] = -np.inf
    return np.exp(logits - logits.max(axis=1, keepdims=True)) / np.exp(
        logits - logits.max(axis=1, keepdims=True)
    ).sum(axis=1, keepdims=True)


@pytest.mark.parametrize("liked", [0.0, 0.5, 1.0])
def test_the_loss_is_the_mean_surprise_at_what_was_liked(liked):
    params, logged = tiny_params(NETWORK, 2), logged_in(WORLD, sessions=6)
    rows = jnp.arange(logged.turns.shape[0])
    batch = logged.rows(rows, ITEMS)
    chances = next_item(params, logged, rows)[np.arange(len(rows)), np.asarray(batch.action)]
    imitated = np.asarray(batch.feedback) >= liked
    assert 0 < imitated.sum() <= len(rows)
    loss = float(cloning_loss(params, NETWORK, batch, liked)[0])
    assert loss == pytest.approx(float(-np.log(chances[imitated]).mean()), rel=1e-4)


@pytest.mark.parametrize("liked", [0.0, 1.0])
def test_it_recovers_the_policy_that_logged(liked):
    """Uniform recommendations were logged: uniform over what is permitted, or over what of it was liked.

    95 % of the optimum is not its task: it imitates. Of what was liked it may at best be as good as that is.
    """
    logged = logged_in(WORLD, sessions=800)
    learner = CloningLearner(scene(1), OfflineConfig(updates=500, batch=256))
    hyper = CloningHyper(learning_rate=5e-3, liked=liked)
    data = Data(logged=logged)

    @jax.jit
    def trained(key):
        start_key, key = jax.random.split(key)
        run = learner.init(key, hyper, data, (NETWORK.init(start_key, 2),))
        return jax.lax.scan(
            lambda run, _: (learner.update(run, hyper, data)[0], None), run, None, length=500
        )[0].params

    params = jax.vmap(trained)(jax.random.split(jax.random.key(0), 3))
    first = jnp.asarray([row for row, (_, turn) in enumerate(np.asarray(logged.turns)) if turn == 0][:40])
    known = np.asarray(logged.rows(first, ITEMS).window.items)[:, 1]
    pays = {0: (2, 3, 4, 5), 1: (5, 6, 7, 8)}
    for seed in range(3):
        chances = next_item(jax.tree.map(lambda leaf, seed=seed: leaf[seed], params), logged, first)
        for row, item in enumerate(known):
            wanted = (
                np.ones(ITEMS) if liked == 0.0 else np.isin(np.arange(ITEMS), pays[int(item)]).astype(float)
            )
            wanted[item] = 0.0
            np.testing.assert_allclose(chances[row], wanted / wanted.sum(), atol=0.09)
