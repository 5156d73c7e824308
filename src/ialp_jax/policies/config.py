"""The network's settings."""

from dataclasses import dataclass
from typing import Annotated, Literal

from ialp_jax.marks import ByEvidence, Only, Since, Yardstick
from ialp_jax.policies.catalogue import Choice, Matmul
from ialp_jax.policies.encoders import EncoderName
from ialp_jax.ranges import Count, Rate
from ialp_jax.values import checked


@dataclass(frozen=True)
@checked
class PolicyConfig:
    """Shape of the network."""

    encoder: EncoderName = "session"
    """Sequence encoder of the history."""
    embedding: Count = 32
    """Width of the item embeddings, shared by the encoder's input and the catalogue head."""
    hidden: Count = 64
    """Width of the encoder."""
    session_slots: Annotated[Count, Since(20), Only("encoder", "session")] = 20
    """Interactions of a session that the session encoder remembers."""
    item_start: Annotated[
        Literal["auto", "text", "factors", "both", "random"],
        ByEvidence("start", logs="factors", texts="text"),
    ] = "auto"
    """Where item embeddings start, the same for all methods: content vectors of the items' texts, factors of the offline
    users' logs, half of either, or noise. auto decides for factors or texts by recorded sessions of offline users."""
    sharpness: Annotated[Rate, Since(1.0)] = 1.0
    """Logits are this times the products of query and item; methods whose scores are fitted to the feedback have their own."""
    head: Choice = "auto"
    """Implementation of the catalogue head; auto chooses by the number of decisions and items, and the backend."""
    matmul: Matmul = "float32"
    """Type of the factors of the catalogue head's products; their sums are float32."""
    block_rows: Annotated[Count, Yardstick("it changes speed, not results")] = 256
    """Rows per block of the catalogue head in the loss."""
