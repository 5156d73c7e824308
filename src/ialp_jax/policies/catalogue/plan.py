"""Which implementation of the catalogue head runs, and in which tiles; the choice by shape and backend."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import jax

from ialp_jax.policies.catalogue.products import Matmul
from ialp_jax.values import checked

Implementation = Literal["dense", "blocked"]
Choice = Literal["auto", "dense", "blocked"]

DENSE_LOGITS = 2**19  # on a CPU 2 MB of logits stays in cache and tiling gains nothing
DENSE_LOGITS_ACCELERATOR = 2**26  # 256 MB of float32


@dataclass(frozen=True)
@checked
class HeadPlan:
    """How the catalogue head is computed: static, part of the compile key."""

    implementation: Implementation = "blocked"
    """dense holds a rows x N array; blocked never does."""
    rows: int = 256
    """Rows per tile."""
    items: int = 4096
    """Items per tile at most."""
    group: int = 32
    """Items per group at most: sampling first draws a group, then an item of it."""
    matmul: Matmul = "float32"
    """Type of the factors of every product; sums are float32 in either case."""

    def __str__(self) -> str:
        if self.implementation == "dense":
            return f"dense/{self.matmul}"
        return f"{self.implementation}/{self.matmul}/{self.rows}x{self.items}"


class ItemBlocks(NamedTuple):
    """Blocks of equal size that cover the catalogue; the last one reaches back into the one before it."""

    number: int
    size: int
    group: int


def choose_plan(
    rows: int,
    num_items: int,
    choice: Choice = "auto",
    matmul: Matmul = "float32",
    backend: str | None = None,
) -> HeadPlan:
    """The plan for `rows` decisions over `num_items` items.

    Args:
        rows: decisions made at once.
        num_items: N.
        choice: an implementation, or "auto".
        matmul: type of the products' factors.
        backend: "cpu", "gpu" or "tpu"; the default backend if None.
    """
    if choice != "auto":
        return HeadPlan(choice, matmul=matmul)
    on_cpu = (backend or jax.default_backend()) == "cpu"
    dense = rows * num_items <= (DENSE_LOGITS if on_cpu else DENSE_LOGITS_ACCELERATOR)
    return HeadPlan("dense" if dense else "blocked", matmul=matmul)


def item_blocks(num_items: int, plan: HeadPlan, grouped: bool) -> ItemBlocks:
    """Blocks of at most about `plan.items` items; if `grouped`, of a whole number of groups.

    The last block overlaps instead of being padded: padding would copy the item embeddings.
    """
    group = group_size(num_items, plan)
    unit = group if grouped else 1
    most = max(plan.items // unit, 1) * unit
    count = -(-num_items // most)
    if count == 1 and num_items % unit:
        count = 2
    size = -(-num_items // (count * unit)) * unit
    return ItemBlocks(-(-num_items // size), size, group)


def group_size(num_items: int, plan: HeadPlan) -> int:
    """Items per group: one that divides the catalogue if there is one above half of `plan.group`.

    Blocks of whole groups then need not overlap, so that a catalogue that fits one block is one block.
    """
    most = min(plan.group, num_items)
    return next((size for size in range(most, most // 2, -1) if num_items % size == 0), most)
