"""Users that several devices share: what each device does of the work, and how their parts come together.

Inside `jax.shard_map` over the axis `user` (training/mesh.py) a device holds B / D of the B users served at once; what
is averaged or added up over users must then cross devices. Everywhere else one device holds them all, and every
function here is the plain NumPy one: the program of one device contains no trace of sharing.

Random numbers are drawn for all B users on every device, which keeps its own: so that they do not depend on D.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

USER = "user"


class PerUser:
    """Base of structures whose arrays are [B, ...] of the users served at once: the devices of a mesh share them."""


def share_count() -> int:
    """D, the devices that share the users in the program being traced."""
    mesh = jax.sharding.get_abstract_mesh()
    return mesh.shape[USER] if USER in mesh.manual_axes else 1


def draw(
    sample: Callable[[PRNGKeyArray, tuple[int, ...]], Any],
    key: PRNGKeyArray,
    shape: tuple[int, ...],
    axis: int = 0,
) -> Any:
    """`sample(key, shape)`, an array or a tree of them, for this device's users, who lie along `axis`."""
    count = share_count()
    if count == 1:
        return sample(key, shape)
    everybody = sample(key, (*shape[:axis], shape[axis] * count, *shape[axis + 1 :]))
    first = jax.lax.axis_index(USER) * shape[axis]
    return jax.tree.map(lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, first, shape[axis], axis), everybody)


def user_keys(key: PRNGKeyArray, users: int) -> PRNGKeyArray:
    """One key for each of this device's users."""
    return draw(jax.random.split, key, (users,))


def gather(tree: Any) -> Any:
    """Rows [B / D, ...] of every device, put together to [B, ...] on each."""
    if share_count() == 1:
        return tree
    return jax.tree.map(lambda leaf: jax.lax.all_gather(leaf, USER, tiled=True), tree)


def average(tree: Any) -> Any:
    """Means over this device's users as means over all."""
    return tree if share_count() == 1 else jax.lax.pmean(tree, USER)


def total(tree: Any) -> Any:
    """Sums over this device's users as sums over all."""
    return tree if share_count() == 1 else jax.lax.psum(tree, USER)


def largest(tree: Any) -> Any:
    """The largest over this device's users as that over all; not differentiated."""
    return tree if share_count() == 1 else jax.lax.pmax(tree, USER)


def once(tree: Any) -> Any:
    """What enters a `total` once although every device holds it: zero on all devices but the first."""
    if share_count() == 1:
        return tree
    first = jax.lax.axis_index(USER) == 0
    return jax.tree.map(lambda leaf: jnp.where(first, leaf, jnp.zeros_like(leaf)), tree)


def deviation(values: Float[Array, "*s"]) -> Float[Array, ""]:
    """Standard deviation over all users (and whatever other axes there are)."""
    if share_count() == 1:
        return jnp.std(values)
    centred = values - average(jnp.mean(values))
    return jnp.sqrt(average(jnp.mean(centred**2)))
