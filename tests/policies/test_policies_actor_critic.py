"""Network and encoders: known answers, and heads; what any encoder keeps to is the kit's (tests/testing)."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from tiny_runs import observations, tiny_network, tiny_params

from ialp_jax.policies.encoders.inputs import interaction_features

ITEMS, HISTORY, PADDING = 14, 4, 14
ENCODERS = ("gru", "sasrec")


@pytest.fixture(scope="module", params=ENCODERS)
def policy(request):
    network = tiny_network(ITEMS, request.param)
    return network, tiny_params(network, HISTORY)


@partial(jax.jit, static_argnums=0)
def heads(network, params, observation, action=3):
    """Query, V and Q read from whole histories."""
    features = network.begin(params, observation).features
    chosen = jnp.full(features.shape[0], action)
    return (
        network.query(params, features),
        network.value(params, features),
        network.action_value(params, features, chosen),
    )


def test_the_recurrence_is_flaxs_gru():
    """The same numbers in the gates of `flax.linen.GRUCell`, along a history."""
    network = tiny_network(ITEMS, "gru")
    params = tiny_params(network, HISTORY)
    ours, items, feedback = params["encoder"], jnp.array([5, 0, 13, 2]), jnp.array([0.1, 1.0, 0.0, 0.6])
    inputs, hidden = (
        np.split(np.asarray(ours[name]["kernel"]), 3, axis=1) for name in ("from_input", "from_hidden")
    )
    biases = np.split(np.asarray(ours["from_input"]["bias"]), 3)
    cell = {f"i{gate}": {"kernel": inputs[at], "bias": biases[at]} for at, gate in enumerate("rzn")}
    cell |= {f"h{gate}": {"kernel": hidden[at]} for at, gate in enumerate("rzn")}
    cell["hn"]["bias"] = np.asarray(ours["candidate_bias"])
    carry = jnp.zeros(8)
    for item, grade in zip(items, feedback, strict=True):
        features = interaction_features(params["items"][item], grade)
        carry, _ = nn.GRUCell(8).apply({"params": cell}, carry, features)
    found = network.begin(params, observations(items[None], feedback[None])).features[0, :8]
    np.testing.assert_allclose(found, carry, atol=1e-6)


def test_a_full_window_forgets_its_oldest_item_only_with_attention():
    """SASRec reads the last H interactions; the GRU carries everything."""
    differences = {}
    for encoder in ENCODERS:
        network = tiny_network(ITEMS, encoder)
        params = tiny_params(network, HISTORY)

        def moved(params, network=network):
            recall = network.begin(params, observations([[0, 1, 2, 3], [9, 1, 2, 3]], np.ones((2, 4))))
            return network.advance(params, recall, jnp.array([4, 4]), jnp.ones(2), jnp.ones(2, bool)).features

        features = np.asarray(jax.jit(moved)(params))
        differences[encoder] = np.abs(features[0] - features[1]).max()
    assert differences["sasrec"] < 1e-6 < 1e-3 < differences["gru"]


def test_feedback_and_order_do_matter(policy):
    network, params = policy
    items, feedback = [[1, 2, 3, 4], [1, 2, 3, 4], [2, 1, 3, 4]], [[1, 1, 1, 1], [1, 0, 1, 1], [1, 1, 1, 1]]
    features = jax.jit(network.begin)(params, observations(items, feedback)).features
    assert np.abs(features[0] - features[1]).max() > 1e-3 and np.abs(features[0] - features[2]).max() > 1e-3


def test_the_padding_item_is_the_zero_vector(policy):
    network, params = policy
    embedded = network.module.apply({"params": params}, jnp.array([0, PADDING]), method="_embed")
    assert np.abs(embedded[0]).max() > 0
    np.testing.assert_array_equal(embedded[1], jnp.zeros_like(embedded[1]))


def test_item_ids_are_only_names(policy):
    """Renaming the items permutes the policy's probabilities and changes no value."""
    network, params = policy
    order = np.random.default_rng(0).permutation(ITEMS)  # new item i is old item order[i]
    renamed = np.append(np.argsort(order), PADDING)
    items = np.array([[PADDING, 3, 9, 1], [4, 4, 0, 13]])
    feedback = [[0.0, 0.2, 1.0, 0.7], [0.1, 0.9, 0.5, 0.0]]
    moved = {**params, "items": params["items"][order], "bias": params["bias"][order]}

    @jax.jit
    def both(params, moved):
        plain = heads(network, params, observations(items, feedback), 3)
        other = heads(network, moved, observations(renamed[items], feedback), renamed[3])
        logits = [
            query @ p["items"].T + p["bias"][None] for (query, *_), p in ((plain, params), (other, moved))
        ]
        return plain, other, logits

    plain, other, logits = both(params, moved)
    jax.tree.map(lambda left, right: np.testing.assert_allclose(left, right, atol=1e-5), plain, other)
    np.testing.assert_allclose(logits[1], np.asarray(logits[0])[:, order], atol=1e-5)


def test_a_turn_of_the_gru_leaves_little_behind_and_no_product_is_computed_twice():
    """Five numbers per hidden unit and those of the interaction; in the backward pass two products for each one."""
    network, rows = tiny_network(ITEMS, "gru"), 100
    params = tiny_params(network, HISTORY)
    recall = jax.jit(network.begin)(params, observations(np.ones((rows, 4)), np.ones((rows, 4))))
    items, feedback = jnp.arange(rows) % ITEMS, jnp.linspace(0.0, 1.0, rows)

    def advanced(params, recall):
        return network.advance(params, recall, items, feedback, jnp.ones(rows, bool)).features

    left_behind = jax.tree.leaves(jax.vjp(advanced, params, recall)[1])
    assert sum(leaf.size for leaf in left_behind if leaf.shape[:1] == (rows,)) <= rows * (5 * 8 + 6)
    gradient = jax.grad(lambda *inputs: jnp.sum(advanced(*inputs) ** 2), argnums=(0, 1))
    programs = [jax.jit(one).lower(params, recall).compile() for one in (advanced, gradient)]
    assert [program.as_text().count(" dot(") for program in programs] == [2, 6]


def test_q_starts_at_v_and_then_differs_by_item(policy):
    network, params = policy
    observation = observations([[1, 2, 3, 4]] * 2, np.ones((2, 4)))
    _, value, action_value = heads(network, params, observation)
    assert abs(float(action_value[0] - value[0])) > 1e-4
    _, value, action_value = heads(network, tiny_params(network, HISTORY, spread=0.0), observation)
    np.testing.assert_array_equal(action_value, value)


def test_a_user_without_history_has_finite_values_and_gradients(policy):
    network, params = policy
    empty = observations(np.full((1, 4), PADDING), np.zeros((1, 4)))

    def total(params):
        return sum(jnp.sum(output) for output in heads(network, params, empty))

    value, gradients = jax.jit(jax.value_and_grad(total))(params)
    assert np.isfinite(value) and all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


def test_item_embeddings_can_start_from_given_vectors():
    network = tiny_network(ITEMS)
    vectors = jnp.asarray(np.random.default_rng(0).normal(size=(ITEMS, 6)), jnp.float32)
    keys = jax.random.key(0), jax.random.key(0)
    params, plain = jax.jit(lambda a, b: (network.init(a, HISTORY, vectors), network.init(b, HISTORY)))(*keys)
    np.testing.assert_array_equal(params["items"], vectors)
    np.testing.assert_array_equal(params["query_head"]["kernel"], plain["query_head"]["kernel"])
