"""What a simulator takes and returns."""

import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int, UInt8


@struct.dataclass
class Observation:
    """What a policy may see of a user: the last H interactions, most recent last, padded on the left with item N."""

    items: Int[Array, "H"]
    feedback: Float[Array, "H"]


@struct.dataclass
class Noise:
    """All randomness of one transition, explicit so that a NumPy twin fed the same noise must agree."""

    rating: Float[Array, ""]  # standard normal


@struct.dataclass
class State:
    """One user's session: all that changes. What the user knew before lies in the world, at the user's number.

    L is the turn cap. Slots of the session from `turn` on hold item N, which is no item, and feedback 0.
    """

    user: Int[Array, ""]
    turn: Int[Array, ""]
    session_items: Int[Array, "L"]
    session_feedback: Float[Array, "L"]
    temper: Float[Array, ""]


@struct.dataclass
class Limits:
    """What may be recommended next: short lists and bits, which travel; a mask is only made where it is used.

    Attributes:
        excluded: items that must not be recommended (padding N is no item).
        allowed: if it has entries, only these items may be.
        alike: bit i % 8 of entry i // 8 says that item i is too like what was recommended lately, and must not be
            recommended (`serving.likeness`); no entries where nothing is kept apart.
    """

    excluded: Int[Array, "*s E"]
    allowed: Int[Array, "*s K"]
    alike: UInt8[Array, "*s M"]

    def mask(self, num_items: int) -> Bool[Array, "N"]:
        """True where an item may be recommended; of one user."""
        if self.allowed.shape[-1]:
            mask = jnp.zeros(num_items, bool).at[self.allowed].set(True, mode="drop")
        else:
            mask = jnp.ones(num_items, bool)
        if self.alike.shape[-1]:
            mask &= ~unpacked(self.alike)[:num_items]
        return mask.at[self.excluded].set(False, mode="drop")

    def none_alike(self) -> "Limits":
        """The same with nothing kept apart."""
        return self.replace(alike=self.alike[..., :0])  # type: ignore[attr-defined, no-any-return]


def limits(excluded: Int[Array, "*s E"], allowed: Int[Array, "*s K"] | None = None) -> Limits:
    """Limits of lists alone."""
    shape = excluded.shape[:-1]
    return Limits(
        excluded,
        jnp.zeros((*shape, 0), jnp.int32) if allowed is None else allowed,
        jnp.zeros((*shape, 0), jnp.uint8),
    )


def unpacked(octets: UInt8[Array, "*s M"]) -> Bool[Array, "*s 8*M"]:
    """Bits, the lowest of every octet first."""
    places = jnp.broadcast_to(jnp.arange(8, dtype=jnp.uint8), (*octets.shape, 8))
    bits = (octets[..., None] >> places) & jnp.uint8(1)
    return bits.reshape(*octets.shape[:-1], octets.shape[-1] * 8).astype(bool)


@struct.dataclass
class Situation:
    """What may be seen of a user, and recommended, in some state; computed where it is asked for.

    Attributes:
        user: whose session it is.
        observation: what to act on.
        limits: what may be recommended next.
    """

    user: Int[Array, ""]
    observation: Observation
    limits: Limits

    def action_mask(self, num_items: int) -> Bool[Array, "N"]:
        """True where an item may be recommended."""
        return self.limits.mask(num_items)


@struct.dataclass
class TimeStep(Situation):
    """Result of a reset or a step of one user: the situation reached, and what the last action led to.

    Attributes:
        reward: rating paid for the last action, raw scale (0 after a reset).
        feedback: the user's rating of the last action scaled to [0, 1], paid or not (0 after a reset).
        terminated: the user left: do not bootstrap.
        truncated: the turn cap ended the session: bootstrap from `observation`.
        appended: whether the last action entered the history (rejected items may not).
        reason: why the session ended, an index into `departure.REASONS` (0 while it goes on).
    """

    reward: Float[Array, ""]
    feedback: Float[Array, ""]
    terminated: Bool[Array, ""]
    truncated: Bool[Array, ""]
    appended: Bool[Array, ""]
    reason: Int[Array, ""]

    @property
    def done(self) -> Bool[Array, ""]:
        """Whether the session is over, for either reason."""
        return self.terminated | self.truncated
