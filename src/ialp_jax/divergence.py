"""What is said of a run that diverged: at which update, and which of its numbers were none any more. Host only."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ialp_jax.artifacts import plain
from ialp_jax.finite import LARGEST

Record = dict[str, Any]
"""A `Divergence` as JSON has it."""


@dataclass(frozen=True)
class Divergence:
    """A run that diverged.

    Attributes:
        update: the update at which it did, from 1 on; its state is that before this update.
        updates: of a whole run.
        leaves: names of the first broken metric, gradient and number of the learner's state, as far as there were any.
        stage: whose update it was; "" where that is not known.
    """

    update: int
    updates: int
    leaves: tuple[str, ...]
    stage: str = ""

    def record(self) -> Record:
        """As JSON has it; `of_record` reads it."""
        record: Record = plain(self)
        return record

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> "Divergence":
        """From what `record` gave; what else stands in it is passed over."""
        return cls(record["update"], record["updates"], tuple(record["leaves"]), record["stage"])

    def __str__(self) -> str:
        of = f" of {self.stage}" if self.stage else ""
        return (
            f"update {self.update} of {self.updates}{of}: {', '.join(self.leaves)} "
            f"{'is' if len(self.leaves) == 1 else 'are'} NaN or beyond {LARGEST:g}"
        )
