"""Several policies on one encoder, each of which serves its own users: row b of a rollout belongs to policy b mod J."""

from dataclasses import dataclass, fields
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ialp_jax.policies.actor_critic import Network
from ialp_jax.serving.shares import draw, share_count

OWN = ("query_head", "value_hidden", "value_out", "advantage_head")
"""Parts of the network that every policy has for itself; items, their biases and the encoder are everybody's."""
HEADS = "heads"
"""Of the parameters: those parts, every leaf [J, ...]."""


def many_heads(key: PRNGKeyArray, network: Network, params: dict, heads: int, width: int) -> dict:
    """The parameters with J fresh heads; windows have `width` slots."""

    def of_one(key: PRNGKeyArray) -> dict:
        fresh = network.init(key, width)
        return {name: fresh[name] for name in OWN}

    return {**params, HEADS: jax.vmap(of_one)(jax.random.split(key, heads))}


def with_head(params: dict, place: Int[Array, ""] | int) -> dict:
    """The parameters of the plain network with the head at `place`, which may be traced."""
    head = jax.tree.map(lambda leaf: leaf[place], params[HEADS])
    return {name: leaf for name, leaf in params.items() if name != HEADS} | head


@dataclass(frozen=True)
class ManyHeads(Network):
    """The network of J policies, by rows [B] or [T x B] of the users that are served.

    Attributes:
        heads: J.
        users: B, on all devices.
    """

    heads: int = 1
    users: int = 1

    def of_row(self, rows: int) -> Int[Array, "R"]:
        """Which head each row belongs to."""
        here = self.users // share_count()
        everybody = lambda key, shape: jnp.arange(shape[0], dtype=jnp.int32) % self.heads  # noqa: E731
        mine = draw(everybody, jax.random.key(0), (here,))
        return jnp.tile(mine, rows // here)

    def query(self, params: dict, features: Float[Array, "R h"]) -> Float[Array, "R e"]:
        """Queries of the catalogue head."""
        queries: Float[Array, "R e"] = self._each(params, features, super().query)
        return queries

    def value(self, params: dict, features: Float[Array, "R h"]) -> Float[Array, "R"]:
        """V of every row."""
        values: Float[Array, "R"] = self._each(params, features, super().value)
        return values

    def critics(
        self, params: dict, features: Float[Array, "R h"], item: Int[Array, "R"]
    ) -> tuple[Float[Array, "R"], Float[Array, "R"]]:
        """V of every row, and Q at its item."""
        plain = super().critics
        both: tuple[Array, Array] = self._each(params, features, lambda held, read: plain(held, read, item))
        return both

    def _each(self, params: dict, features: Float[Array, "R h"], read: Any) -> Any:
        rows = jnp.arange(features.shape[0], dtype=jnp.int32)
        own = self.of_row(features.shape[0])
        said = jax.vmap(lambda place: read(with_head(params, place), features))(jnp.arange(self.heads))
        return jax.tree.map(lambda leaf: leaf[own, rows], said)


def headed(network: Network, heads: int, users: int) -> ManyHeads:
    """The same network with several heads."""
    return ManyHeads(
        **{field.name: getattr(network, field.name) for field in fields(Network)}, heads=heads, users=users
    )
