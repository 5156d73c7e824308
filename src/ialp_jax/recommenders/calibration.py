"""From a factorisation's affinities, which have no unit, to feedback in [0, 1]: a regression on recorded sessions."""

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Int

from ialp_jax.learning.logged import LoggedSessions
from ialp_jax.recommenders.fold_in import OfflineFactors, tastes


@struct.dataclass
class Calibration:
    """feedback ~ personal <u - c, x_a> + popular (offset_a + <c, x_a>) + constant; c is the mean offline user.

    popular / personal is how much an item's popularity counts beside a user's own taste.
    """

    personal: Float[Array, ""]
    popular: Float[Array, ""]
    constant: Float[Array, ""]


def uncalibrated() -> Calibration:
    """The affinity as the factorisation has it, but for the user's bias."""
    return Calibration(jnp.float32(1.0), jnp.float32(1.0), jnp.float32(0.0))


@struct.dataclass
class Answers:
    """Logged turns: who was recommended what, and what they answered.

    Attributes:
        taste: of the user, from the history that opened the session.
        item: what was recommended.
        feedback: in [0, 1].
    """

    taste: Float[Array, "R k"]
    item: Int[Array, "R"]
    feedback: Float[Array, "R"]


def answers(factors: OfflineFactors, logged: LoggedSessions) -> Answers:
    """All turns of logged sessions."""
    session, turn = logged.turns[:, 0], logged.turns[:, 1]
    users = tastes(factors, jax.tree.map(lambda leaf: leaf[:, 0], logged.window))
    return Answers(users[session], logged.action[session, turn], logged.feedback[session, turn])


def affinities(factors: OfflineFactors, given: Answers) -> Float[Array, "R"]:
    """Of every turn's user to its item, beyond what the mean offline user feels."""
    return jnp.sum(given.taste * factors.item[given.item], axis=1)


def calibrate(factors: OfflineFactors, given: Answers) -> Calibration:
    """Least squares of the feedback on personal affinity, popularity and a constant."""
    personal = affinities(factors, given)
    inputs = jnp.stack([personal, factors.popular[given.item], jnp.ones_like(personal)], axis=1)
    return Calibration(*jnp.linalg.lstsq(inputs, given.feedback)[0])


def item_weights(factors: OfflineFactors, scale: Calibration) -> Float[Array, "N k+1"]:
    """Every item's w_a with predicted feedback <w_a, (taste, 1)>."""
    level = scale.popular * factors.popular + scale.constant
    return jnp.concatenate([scale.personal * factors.item, level[:, None]], axis=1)


def with_one(taste: Float[Array, "*s k"]) -> Float[Array, "*s k+1"]:
    """(taste, 1): what item weights are multiplied by."""
    return jnp.concatenate([taste, jnp.ones((*taste.shape[:-1], 1))], axis=-1)
