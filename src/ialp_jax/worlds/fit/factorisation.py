"""Weighted matrix factorisation with biases by alternating least squares, for ratings and implicit feedback.

Minimises  sum_observed w_ui (t_ui - s_ui)^2 + a0 sum_unobserved (0 - s_ui)^2 + lambda (all parameters)^2
with       s_ui = mean + b_u + c_i + <p_u, q_i>.
With a0 = 0 only observed pairs count (ratings). With a0 > 0 this is Hu, Koren and Volinsky 2008, whose trick
is used: the sum over all pairs is one k x k matrix shared by all rows; each adds its own observed pairs.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Int

CHUNK = 8192  # interactions whose k x k products are in memory together


@struct.dataclass
class Pairs:
    """Observed pairs in chunks; padding has the unobserved weight and target, so it adds nothing."""

    users: Int[Array, "chunks chunk"]
    items: Int[Array, "chunks chunk"]
    targets: Float[Array, "chunks chunk"]
    weights: Float[Array, "chunks chunk"]


@struct.dataclass
class Factors:
    """Result: s_ui = mean + user_bias[u] + item_bias[i] + <user[u], item[i]>."""

    mean: Float[Array, ""]
    user: Float[Array, "U k"]
    user_bias: Float[Array, "U"]
    item: Float[Array, "N k"]
    item_bias: Float[Array, "N"]


def make_pairs(
    users: Int[np.ndarray, "n"],
    items: Int[np.ndarray, "n"],
    targets: Float[np.ndarray, "n"],
    weights: Float[np.ndarray, "n"],
    unobserved_weight: float,
) -> Pairs:
    """Pads and chunks observed pairs, on the host."""
    padding = -len(users) % CHUNK

    def chunked(values: np.ndarray, dtype: type, filler: float) -> Array:
        filled: np.ndarray = np.append(values.astype(dtype), np.full(padding, filler, dtype))
        return jnp.asarray(filled.reshape(-1, CHUNK))

    return Pairs(
        users=chunked(users, np.int32, 0),
        items=chunked(items, np.int32, 0),
        targets=chunked(targets, np.float32, 0.0),
        weights=chunked(weights, np.float32, unobserved_weight),
    )


def factorise(
    pairs: Pairs,
    shape: tuple[int, int],
    rank: int,
    iterations: int,
    regularisation: float,
    unobserved_weight: float,
    seed: int,
) -> Factors:
    """Factorises pairs of `shape` = (users, items); deterministic in `seed`."""
    total = jnp.sum(pairs.weights * pairs.targets)
    observed = pairs.weights - unobserved_weight
    mass = jnp.sum(observed) + unobserved_weight * shape[0] * shape[1]
    key = jax.random.key(seed)
    start = 0.1 * jax.random.normal(key, (shape[1], rank + 1)).at[:, -1].set(0.0)
    ridge, unobserved = jnp.float32(regularisation), jnp.float32(unobserved_weight)
    return _alternate(pairs, start, total / mass, shape[0], iterations, ridge, unobserved)


@partial(jax.jit, static_argnames=("num_users", "iterations"))
def _alternate(
    pairs: Pairs,
    item_side: Float[Array, "N k+1"],
    mean: Float[Array, ""],
    num_users: int,
    iterations: int,
    regularisation: Float[Array, ""],
    unobserved_weight: Float[Array, ""],
) -> Factors:
    by_item = Pairs(pairs.items, pairs.users, pairs.targets, pairs.weights)

    def half(given: Pairs, other: Float[Array, "M k+1"], rows: int) -> Float[Array, "R k+1"]:
        return _solve_side(given, other, rows, mean, regularisation, unobserved_weight)

    def one_pass(sides, _):
        user_side = half(pairs, sides[1], num_users)
        return (user_side, half(by_item, user_side, item_side.shape[0])), None

    start = (jnp.zeros((num_users, item_side.shape[1])), item_side)
    (user_side, item_side), _ = jax.lax.scan(one_pass, start, None, length=iterations)
    return Factors(mean, user_side[:, :-1], user_side[:, -1], item_side[:, :-1], item_side[:, -1])


def _solve_side(
    pairs: Pairs,
    other: Float[Array, "M k+1"],
    rows: int,
    mean: Float[Array, ""],
    regularisation: Float[Array, ""],
    unobserved_weight: Float[Array, ""],
) -> Float[Array, "R k+1"]:
    """Ridge regressions of one side (factors and bias of each row) on the other side's factors and a one."""
    offset = mean + other[:, -1]
    features = other.at[:, -1].set(1.0)
    gram, pull = shared_equations(features, offset, regularisation, unobserved_weight)

    def add(sums, chunk):
        grams, pulls = sums
        products, forces = pair_equations(
            features[chunk.items], offset[chunk.items], chunk.targets, chunk.weights, unobserved_weight
        )
        return (grams.at[chunk.users].add(products), pulls.at[chunk.users].add(forces)), None

    width = features.shape[1]
    start = (jnp.broadcast_to(gram, (rows, width, width)), jnp.broadcast_to(pull, (rows, width)))
    (grams, pulls), _ = jax.lax.scan(add, start, pairs)
    return jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(grams), pulls[..., None])[..., 0]


def shared_equations(
    features: Float[Array, "M w"],
    offset: Float[Array, "M"],
    regularisation: Float[Array, ""],
    unobserved_weight: Float[Array, ""],
) -> tuple[Float[Array, "w w"], Float[Array, "w"]]:
    """Normal equations of a row that has observed nothing: the ridge, and the whole catalogue with target 0."""
    ridge = regularisation * jnp.eye(features.shape[1])
    return unobserved_weight * features.T @ features + ridge, -unobserved_weight * (offset @ features)


def pair_equations(
    features: Float[Array, "n w"],
    offset: Float[Array, "n"],
    targets: Float[Array, "n"],
    weights: Float[Array, "n"],
    unobserved_weight: Float[Array, ""],
) -> tuple[Float[Array, "n w w"], Float[Array, "n w"]]:
    """What each observed pair adds to the normal equations; nothing with the unobserved weight and target 0."""
    extra = weights - unobserved_weight
    force = weights * targets - extra * offset
    products = extra[:, None, None] * features[:, :, None] * features[:, None, :]
    return products, force[:, None] * features
