"""What a sequence encoder is: it turns the history of one user into features. Single user; callers `vmap`."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from flax import linen as nn
from flax import struct
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Bool, Float, Int

from ialp_jax.listing import Listing
from ialp_jax.policies.memory import append
from ialp_jax.worlds.types import Observation

if TYPE_CHECKING:  # it lists the encoders' names
    from ialp_jax.policies.config import PolicyConfig

Embed = Callable[[Int[Array, "*s"]], Float[Array, "*s e"]]
"""Item ids -> embeddings; the padding item is the zero vector."""

KEPT = "kept for the backward pass"
keep = partial(checkpoint_name, name=KEPT)
"""Marks what the backward pass reads of a step that `recomputes`."""


@struct.dataclass
class Recall:
    """What a policy remembers of one session.

    Attributes:
        features: of the history, as the encoder reads it.
        carried: what the encoder needs beside them to go on; None where the features are all.
    """

    features: Float[Array, "features"]
    carried: Any = None


class Encoder(nn.Module):
    """An encoder whose features are all that it carries: a turn costs one step whatever the length of the history.

    Attributes:
        num_items: N, which is also the id of the padding item.
        config: the network's sizes.
        recomputes: the backward pass of `advance` computes again what is not marked by `keep`.
        rereads: features are a function of what is carried, and can be computed anew with other parameters.
    """

    num_items: int
    config: "PolicyConfig"
    recomputes: ClassVar[bool] = False
    rereads: ClassVar[bool] = False

    def begin(self, observation: Observation, embed: Embed) -> Recall:
        """Recall of the known history; padded slots change nothing."""
        raise NotImplementedError

    def advance(
        self,
        recall: Recall,
        item: Int[Array, ""],
        feedback: Float[Array, ""],
        appended: Bool[Array, ""],
        embed: Embed,
    ) -> Recall:
        """Recall after one more interaction; unchanged where it did not enter the history."""
        raise NotImplementedError


class RereadingEncoder(Encoder):
    """An encoder that reads all it carries anew in every turn; by default that is the window of the last H interactions."""

    rereads: ClassVar[bool] = True

    def read(self, carried: Any, embed: Embed) -> Float[Array, "features"]:
        """Features of what is carried; padded slots change nothing."""
        raise NotImplementedError

    def opened(self, observation: Observation) -> Any:
        """What is carried of a session that begins."""
        return observation

    def after(
        self, carried: Any, item: Int[Array, ""], feedback: Float[Array, ""], appended: Bool[Array, ""]
    ) -> Any:
        """What is carried after one more interaction."""
        return append(carried, item, feedback, appended)

    def begin(self, observation: Observation, embed: Embed) -> Recall:
        """Recall of the known history."""
        return self.reread(self.opened(observation), embed)

    def advance(
        self,
        recall: Recall,
        item: Int[Array, ""],
        feedback: Float[Array, ""],
        appended: Bool[Array, ""],
        embed: Embed,
    ) -> Recall:
        """Recall after one more interaction."""
        return self.reread(self.after(recall.carried, item, feedback, appended), embed)

    def reread(self, carried: Any, embed: Embed) -> Recall:
        """Recall of what is carried."""
        return Recall(self.read(carried, embed), carried)


listing: Listing[Encoder] = Listing("encoder")
register = listing.register
"""Decorator of an encoder's class: `@register("name")`."""
