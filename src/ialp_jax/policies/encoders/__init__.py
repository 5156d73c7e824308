"""Sequence encoders of a user's history. One file per encoder in `named/`, found by listing that folder."""

from typing import TYPE_CHECKING, Literal

from ialp_jax.listing import import_files
from ialp_jax.policies.encoders.base import KEPT, Encoder, Recall, RereadingEncoder, keep, listing, register

__all__ = [
    "ENCODERS",
    "KEPT",
    "Encoder",
    "EncoderName",
    "Recall",
    "RereadingEncoder",
    "keep",
    "listing",
    "register",
]

import_files(f"{__name__}.named")
ENCODERS: dict[str, type[Encoder]] = listing.parts()
"""All encoders by name."""
if TYPE_CHECKING:
    EncoderName = str
else:
    EncoderName = Literal[tuple(ENCODERS)]  # the command line, sweeps and kits read the choices from the type
