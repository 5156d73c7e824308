"""Many devices: runs side by side on the axis `run`, the users of one run on the axis `user`.

Both axes are manual (`jax.shard_map`): a device advances its own runs and never hears of others, so there is no
collective over `run`; over `user` there are those that `envs/shares.py` writes down, and no others.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from ialp_jax.artifacts import InputError
from ialp_jax.envs.shares import USER

RUN = "run"


@dataclass(frozen=True)
class MeshConfig:
    """How many devices share the runs, and how many share the users of a run."""

    run: int | None = None
    """Devices among which runs are divided; all of them if there are several runs and `user` is left out."""
    user: int | None = None
    """Devices that share the users of each run; all of them if there is one run and `run` is left out."""


def make_mesh(
    config: MeshConfig, runs: int, users: int, pool: int, devices: Sequence[jax.Device] | None = None
) -> Mesh:
    """The devices as a grid run x user; 1 x 1 on one device.

    Args:
        config: what is asked for.
        runs: R; it need not divide, see `pad_runs`.
        users: users served at once in each run.
        pool: users drawn per update.
        devices: all there are, of every process, if None.

    Raises:
        InputError: if the grid does not fit the devices, or the users do not divide.
    """
    devices = jax.devices() if devices is None else devices
    shape = _shape(config, runs, len(devices))
    for name, count in (("users", users), ("pool", pool)):
        if count % shape[1]:
            raise InputError(
                f"{count} {name} cannot be divided among {shape[1]} devices", column=f"mesh.user / {name}",
                fix=f"use {-(-count // shape[1]) * shape[1]} {name}, or a mesh.user of {_divisors(count, len(devices))}",
            )  # fmt: skip
    used = shape[0] * shape[1]
    if used < len(devices) and jax.process_count() > 1:
        raise InputError(f"a mesh of {shape[0]} x {shape[1]} devices leaves some of {len(devices)} idle, and a process "
                         "without work cannot take part", column="mesh", fix="use them all")  # fmt: skip
    return jax.make_mesh(shape, (RUN, USER), (AxisType.Auto,) * 2, devices=devices[:used])


def _shape(config: MeshConfig, runs: int, devices: int) -> tuple[int, int]:
    for name, count in (("run", config.run), ("user", config.user)):
        if count is not None and not 1 <= count <= devices:
            raise InputError(f"{count} devices are asked for, and there are {devices}", column=f"mesh.{name}",
                             fix=f"use 1 to {devices}")  # fmt: skip
    run, user = config.run, config.user
    if run is None and user is None:
        return (devices, 1) if runs > 1 else (1, devices)
    run = devices // (user or 1) if run is None else run
    user = devices // run if user is None else user
    if run * user > devices:
        raise InputError(f"{run} x {user} devices are asked for, and there are {devices}", column="mesh.run / mesh.user",
                         fix=f"use a product of at most {devices}")  # fmt: skip
    return run, user


def _divisors(count: int, most: int) -> str:
    return ", ".join(str(size) for size in range(1, most + 1) if count % size == 0)


def describe_mesh(mesh: Mesh, runs: int) -> str | None:
    """A sentence on how `runs` runs are laid out, with what is wasted; None on one device."""
    if mesh.size == 1:
        return None
    shares = [f"{runs} runs on {mesh.shape[RUN]} x {mesh.shape[USER]} devices (run x user)"]
    idle = padded_count(runs, mesh) - runs
    if idle:
        shares.append(f"{idle} of {runs + idle} places hold idle copies of the last run, since {runs} does not divide")
    return "; ".join(shares)


def padded_count(runs: int, mesh: Mesh) -> int:
    """The least multiple of the axis `run` that is not below `runs`."""
    return -(-runs // mesh.shape[RUN]) * mesh.shape[RUN]


def pad_runs(tree: Any, mesh: Mesh) -> Any:
    """Leaves [R, ...] with the last run repeated until R is a multiple of the axis `run`."""

    def pad(leaf: Any) -> Any:
        runs = leaf.shape[0]
        extra = padded_count(runs, mesh) - runs
        return leaf if not extra else leaf[jnp.minimum(jnp.arange(runs + extra), runs - 1)]

    return jax.tree.map(pad, tree)


def run_specs(state: Any) -> Any:
    """Where the axes of run states lie: [R, ...] over `run`, and of the field `sessions` [R, B, ...] over `user` too."""

    def spec(path: tuple[Any, ...], leaf: Any) -> PartitionSpec:
        del leaf
        of_users = bool(path) and getattr(path[0], "name", None) == "sessions"
        return PartitionSpec(RUN, USER) if of_users else PartitionSpec(RUN)

    return jax.tree_util.tree_map_with_path(spec, state)


def place(tree: Any, mesh: Mesh, specs: Any) -> Any:
    """Puts arrays, of which every process holds the same whole copy, where the mesh wants them."""
    return jax.tree.map(lambda leaf, spec: jax.device_put(leaf, NamedSharding(mesh, spec)), tree,
                        jax.tree.broadcast(specs, tree))  # fmt: skip


def place_runs(state: Any, mesh: Mesh) -> Any:
    """Pads run states and puts them on the mesh."""
    padded = pad_runs(state, mesh)
    return place(padded, mesh, run_specs(padded))


def first_runs(tree: Any, runs: int) -> Any:
    """The `runs` real ones of padded runs; untouched if nothing was padded."""
    leaves = jax.tree.leaves(tree)
    if not leaves or leaves[0].shape[0] == runs:
        return tree
    mesh = leaves[0].sharding.mesh
    return _cut(runs, NamedSharding(mesh, PartitionSpec()))(tree)


def _cut(runs: int, sharding: NamedSharding) -> Callable[[Any], Any]:
    """Whole on every device: `runs` does not divide among them."""
    return jax.jit(lambda tree: jax.tree.map(lambda leaf: leaf[:runs], tree), out_shardings=sharding)


def on_mesh(program: Callable[..., Any], mesh: Mesh, state: Any, hyper_axis: int | None) -> Callable[..., Any]:
    """`program(runs, hyper, world) -> (runs, metrics)` over leading axes R as a function of arrays on the mesh.

    Args:
        program: advances all runs it is given; inside, functions of `envs/shares.py` see the axis `user`.
        mesh: run x user.
        state: run states, or their shapes, for the places of their leaves.
        hyper_axis: 0 if `hyper` has the leading axis R too.
    """
    specs, by_run = run_specs(state), PartitionSpec(RUN)
    hyper_spec = PartitionSpec() if hyper_axis is None else by_run
    # check_vma would have JAX add up gradients by itself; here that is written down where it happens.
    return jax.shard_map(program, mesh=mesh, in_specs=(specs, hyper_spec, PartitionSpec()),
                         out_specs=(specs, by_run), check_vma=False)  # fmt: skip
