"""The session encoder: a whole session is remembered, and can be read anew."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_runs import observations, tiny_network, tiny_params

from ialp_jax.policies.actor_critic import ActorCritic, Network
from ialp_jax.policies.config import PolicyConfig
from ialp_jax.policies.encoders.named.session import SUM_SCALE

ITEMS, HISTORY, WIDTH = 14, 4, 6
NETWORK = tiny_network(ITEMS, "session", WIDTH)
PARAMS = tiny_params(NETWORK, HISTORY)
KNOWN = observations([[ITEMS, 2, 7, 7], [1, 2, 3, 4]], [[0.0, 0.5, 1.0, 0.25], [0.0, 0.2, 0.9, 1.0]])


def after(recall, *turns):
    """Both users are recommended the same items; (item, feedback, whether it entered)."""
    for item, feedback, appended in turns:
        recall = NETWORK.advance(
            PARAMS, recall, jnp.full(2, item), jnp.full(2, feedback), jnp.full(2, appended)
        )
    return recall


def test_its_short_path_is_sums_over_the_history_and_over_the_session():
    features = np.asarray(after(NETWORK.begin(PARAMS, KNOWN), (5, 0.5, True), (9, 1.0, True)).features)
    items = np.asarray(PARAMS["items"])
    opened, liked = items[2] + 2 * items[7], 0.5 * items[2] + 1.25 * items[7]
    served, answered = items[5] + items[9], 0.5 * items[5] + items[9]
    expected = np.concatenate([SUM_SCALE * part for part in (opened, liked, served, answered)])
    slots = NETWORK.module.config.session_slots
    counts = [3 / HISTORY, 1.75 / HISTORY, 2 / slots, 1.5 / slots]
    np.testing.assert_allclose(features[0, -4 * WIDTH - 4 :], np.concatenate([expected, counts]), atol=1e-5)


def test_the_history_is_not_forgotten_however_long_the_session():
    turns = [(item, 0.5, True) for item in (8, 9, 10, 11, 12, 13)]
    memory = after(NETWORK.begin(PARAMS, KNOWN), *turns).carried
    np.testing.assert_array_equal(memory.known.items, KNOWN.items)
    np.testing.assert_array_equal(memory.items[0, -6:], [8, 9, 10, 11, 12, 13])


def test_what_does_not_enter_the_history_changes_nothing():
    opened = NETWORK.begin(PARAMS, KNOWN)
    for left, right in zip(
        jax.tree.leaves(opened), jax.tree.leaves(after(opened, (5, 0.9, False))), strict=True
    ):
        np.testing.assert_array_equal(left, right)


def test_reading_a_memory_anew_gives_the_features_that_were_carried():
    recall = after(NETWORK.begin(PARAMS, KNOWN), (5, 0.5, True), (9, 1.0, True))
    np.testing.assert_array_equal(NETWORK.reread(PARAMS, recall.carried).features, recall.features)


@pytest.mark.parametrize("sharpness", [1.0, 20.0])
def test_an_items_logit_is_the_sharpness_times_its_predicted_feedback(sharpness):
    config = PolicyConfig(encoder="session", embedding=WIDTH, hidden=8, sharpness=sharpness)
    network = Network(ActorCritic(ITEMS, config))
    features = network.begin(PARAMS, KNOWN).features
    items, bias = network.catalogue(PARAMS)
    logits = network.query(PARAMS, features) @ items.T + bias[None]
    for item in (0, 7, 13):
        predicted = network.feedback(PARAMS, features, jnp.full(2, item))
        np.testing.assert_allclose(logits[:, item], sharpness * predicted, rtol=1e-5)
