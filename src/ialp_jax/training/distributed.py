"""Many processes that train together: JAX's multi-controller runtime, one process per host or accelerator.

Every process runs the same program on the same inputs; the devices of all of them form one mesh (training/mesh.py).
"""

import zlib
from dataclasses import dataclass
from typing import Annotated, Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding, PartitionSpec

from ialp_jax.artifacts import InputError
from ialp_jax.ranges import Count, at_least
from ialp_jax.values import checked


@dataclass(frozen=True)
@checked
class DistributedConfig:
    """How the processes of one training find each other. Left out, there is one process."""

    coordinator: str | None = None
    """HOST:PORT at which the first process can be reached by all; the same for each of them."""
    processes: Count | None = None
    """How many processes there are."""
    rank: Annotated[int, at_least(0)] | None = None
    """Which of them this is, from 0."""
    auto: bool = False
    """Read all three from the cluster: Slurm, Open MPI, Kubernetes, Cloud TPU, or JAX_COORDINATOR_ADDRESS and so on."""

    def __post_init__(self) -> None:
        given = [self.coordinator, self.processes, self.rank]
        if any(value is not None for value in given) and (self.auto or None in given):
            raise InputError("coordinator, processes and rank belong together, and auto stands for all three",
                             column="distributed", fix="give all three, or auto alone")  # fmt: skip
        if self.processes is not None and (self.rank or 0) >= self.processes:
            raise InputError(f"there is no rank {self.rank} among {self.processes} processes",
                             column="distributed.rank", fix=f"use 0 to {self.processes - 1}")  # fmt: skip


def initialise(config: DistributedConfig) -> None:
    """Joins the other processes; must come before anything that asks JAX for devices.

    Raises:
        InputError: if `auto` finds no cluster, or the others cannot be reached.
    """
    if not config.auto and config.coordinator is None:
        return
    jax.config.update("jax_cpu_collectives_implementation", "gloo")  # of no effect on accelerators
    try:
        jax.distributed.initialize(config.coordinator, config.processes, config.rank)
    except (ValueError, RuntimeError) as error:
        raise InputError(f"the processes do not come together ({str(error).splitlines()[0]})", column="distributed",
                         fix="give coordinator, processes and rank, and start every process") from error  # fmt: skip


def is_primary() -> bool:
    """Whether this process writes what is written once."""
    return jax.process_index() == 0


def barrier(name: str) -> None:
    """Waits until every process is here; nothing where there is one."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def agreed(decision: int) -> int:
    """The first process's decision, a truth or a number: clocks and disks differ, and all must take the same branch."""
    if jax.process_count() == 1:
        return decision
    return int(multihost_utils.broadcast_one_to_all(np.asarray(decision)))


def lay_out(tree: Any, shardings: Any) -> Any:
    """Arrays of which every process holds the same whole copy, laid on devices of all processes.

    Args:
        tree: the arrays; those that lie on devices of all processes already are laid out anew.
        shardings: one for all arrays, or a tree of them.

    Raises:
        InputError: if another process holds other numbers.
    """
    if jax.process_count() == 1:
        return jax.device_put(tree, shardings)
    leaves, structure = jax.tree.flatten(tree)
    if any(isinstance(leaf, jax.Array) and not leaf.is_fully_addressable for leaf in leaves):
        return jax.jit(lambda arrays: arrays, out_shardings=shardings)(tree)
    kinds = [jax.random.key_impl(leaf) if _is_key(leaf) else None for leaf in leaves]
    words = [np.asarray(leaf if kind is None else jax.random.key_data(leaf))
             for leaf, kind in zip(leaves, kinds, strict=True)]  # fmt: skip
    _assert_agreement(words)

    def arrays(words: list[Any]) -> Any:
        keys_too = [word if kind is None else jax.random.wrap_key_data(word, impl=kind)
                    for word, kind in zip(words, kinds, strict=True)]  # fmt: skip
        return jax.tree.unflatten(structure, keys_too)

    return jax.jit(arrays, out_shardings=shardings)(words)


def _is_key(leaf: jax.Array) -> bool:
    return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _assert_agreement(words: list[np.ndarray]) -> None:
    sums = np.asarray([zlib.crc32(np.ascontiguousarray(word).tobytes()) for word in words], np.uint32)
    if (multihost_utils.process_allgather(sums) != sums).any():
        raise InputError("the processes do not start from the same numbers", column="distributed",
                         fix="give all the same data, settings and versions, on machines of one kind")  # fmt: skip


def gathered(tree: Any) -> Any:
    """Arrays spread over several processes as whole arrays on one device of this one; others are left alone.

    Every process must call it, and hold as much as all of them together.
    """

    def local(leaf: Any) -> Any:
        if not isinstance(leaf, jax.Array) or leaf.is_fully_addressable:
            return leaf
        whole = NamedSharding(leaf.sharding.mesh, PartitionSpec())  # type: ignore[attr-defined]
        return jax.jit(lambda array: array, out_shardings=whole)(leaf).addressable_data(0)

    return jax.tree.map(local, tree)
