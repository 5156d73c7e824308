"""A policy's own samples as preferences: the best of their largest group is taken for better than one of the others.

The "synthetic preference generation" of reward learning on policy (Lang et al. 2024, arXiv 2403.19279), where "meaning" is a group
of items. In recommendation nothing says that what a policy recommends most is better.
"""

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray


@struct.dataclass
class Labelled:
    """Two of a state's samples, by their places.

    Attributes:
        winner: the one of the highest reward in the largest group.
        loser: any of the other groups.
        confidence: share of the samples in the largest group.
        accepted: whether there is a pair, and the confidence is high enough.
    """

    winner: Int[Array, "*s"]
    loser: Int[Array, "*s"]
    confidence: Float[Array, "*s"]
    accepted: Bool[Array, "*s"]


def self_label(
    key: PRNGKeyArray, group: Int[Array, "n"], reward: Float[Array, "n"], confidence: Float[Array, ""] | float
) -> Labelled:
    """The pair of one state's n samples; of groups of equal size the one that was drawn first counts as the largest.

    Args:
        key: of the loser's draw.
        group: of each sample.
        reward: of each sample, as the reward stands.
        confidence: gamma, the least share of the largest group; above 1 nothing is accepted.
    """
    size = jnp.sum(group[:, None] == group[None], axis=1)
    largest = group == group[jnp.argmax(size)]
    winner = jnp.argmax(jnp.where(largest, reward, -jnp.inf)).astype(jnp.int32)
    chance = jnp.where(largest, -jnp.inf, jax.random.gumbel(key, reward.shape))
    share = jnp.mean(largest.astype(jnp.float32))
    # Half a sample's share of tolerance: .6 of ten samples is no sum of tenths.
    enough = share >= confidence - 0.5 / group.shape[0]
    return Labelled(winner, jnp.argmax(chance).astype(jnp.int32), share, enough & ~jnp.all(largest))
