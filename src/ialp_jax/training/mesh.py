"""Many devices: runs side by side on the axis `run`, the users of one run on the axis `user`.

Both axes are manual (`jax.shard_map`): a device advances its own runs and never hears of others, so there is no
collective over `run`; over `user` there are those that `serving/shares.py` writes down, and no others.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from ialp_jax.artifacts import InputError
from ialp_jax.ranges import Count
from ialp_jax.serving.shares import USER, PerUser
from ialp_jax.training.distributed import lay_out
from ialp_jax.values import checked

RUN = "run"


@dataclass(frozen=True)
@checked
class MeshConfig:
    """How many devices share the runs, and how many share the users of a run."""

    run: Count | None = None
    """Devices among which runs are divided; all of them if there are several runs and `user` is left out."""
    user: Count | None = None
    """Devices that share the users of each run; all of them if there is one run and `run` is left out."""


def make_mesh(
    config: MeshConfig, runs: int, users: int, pool: int, devices: Sequence[jax.Device] | None = None
) -> Mesh | None:
    """The devices as a grid run x user; None if that is one device.

    Args:
        config: what is asked for.
        runs: R; it need not divide, see `Layout`.
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
    if used == 1:
        return None
    return jax.make_mesh(shape, (RUN, USER), (AxisType.Auto,) * 2, devices=devices[:used])


def _shape(config: MeshConfig, runs: int, devices: int) -> tuple[int, int]:
    for name, count in (("run", config.run), ("user", config.user)):
        if count is not None and count > devices:
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


@dataclass(frozen=True)
class Layout:
    """Where the R runs of one program lie; without a mesh every function returns what it is given.

    Where R does not divide, the last run is repeated until it does, and what comes out is cut again.
    """

    runs: int
    mesh: Mesh | None

    @property
    def idle(self) -> int:
        """Copies of the last run that only fill the mesh."""
        return 0 if self.mesh is None else -self.runs % self.mesh.shape[RUN]

    def __str__(self) -> str:
        if self.mesh is None:
            return f"{self.runs} runs on one device"
        text = f"{self.runs} runs on {self.mesh.shape[RUN]} x {self.mesh.shape[USER]} devices (run x user)"
        if self.idle:
            text += f"; {self.runs} does not divide, so {self.idle} idle copies of the last run fill the places left"
        return text

    def place(self, tree: Any) -> Any:
        """Puts what all runs share on every device; each process must give the same arrays."""
        return tree if self.mesh is None else lay_out(tree, NamedSharding(self.mesh, PartitionSpec()))

    def place_runs(self, state: Any) -> Any:
        """Puts leaves [R, ...] on the mesh, padded; each process must give the same arrays."""
        if self.mesh is None:
            return state
        shardings = _shardings(self.mesh, run_specs(state))
        if not self.idle or _leading(state) > self.runs:
            return lay_out(state, shardings)
        pad = jax.jit(partial(_pad, idle=self.idle), out_shardings=shardings)
        return pad(self.place(state))

    def shapes(self, state: Any) -> Any:
        """Shapes of what `place_runs` makes of leaves [R, ...], which may be arrays or shapes."""
        return jax.eval_shape(partial(_pad, idle=self.idle), state) if self.idle else state

    def real_runs(self, tree: Any) -> Any:
        """Leaves [R, ...] without the idle copies; if there are any, every device then holds all R."""
        if self.mesh is None or not self.idle:
            return tree
        cut = jax.jit(partial(_cut, runs=self.runs), out_shardings=NamedSharding(self.mesh, PartitionSpec()))
        return cut(tree)


def run_specs(state: Any) -> Any:
    """Where the axes of run states lie: [R, ...] over `run`, and inside a `PerUser` [R, B, ...] over `user` too."""

    def specs(part: Any) -> Any:
        spec = PartitionSpec(RUN, USER) if isinstance(part, PerUser) else PartitionSpec(RUN)
        return jax.tree.map(lambda leaf: spec, part)

    return jax.tree.map(specs, state, is_leaf=lambda part: isinstance(part, PerUser))


def on_mesh(program: Callable[..., Any], mesh: Mesh, state: Any, hyper_axis: int | None) -> Any:
    """`program(runs, hyper, data) -> (runs, metrics)` over leading axes R, compiled for arrays on the mesh.

    Args:
        program: advances all runs it is given; inside, functions of `serving/shares.py` see the axis `user`.
        mesh: run x user.
        state: run states, or their shapes, for the places of their leaves.
        hyper_axis: 0 if `hyper` has the leading axis R too.
    """
    inputs = (
        run_specs(state),
        PartitionSpec() if hyper_axis is None else PartitionSpec(RUN),
        PartitionSpec(),
    )
    outputs = (inputs[0], PartitionSpec(RUN))
    # check_vma would have JAX add up gradients by itself; here that is written down where it happens.
    shared = jax.shard_map(program, mesh=mesh, in_specs=inputs, out_specs=outputs, check_vma=False)
    return jax.jit(shared, in_shardings=_shardings(mesh, inputs), out_shardings=_shardings(mesh, outputs),
                   donate_argnums=0)  # fmt: skip


def _shardings(mesh: Mesh, specs: Any) -> Any:
    is_spec = lambda leaf: isinstance(leaf, PartitionSpec)  # noqa: E731
    return jax.tree.map(lambda spec: NamedSharding(mesh, spec), specs, is_leaf=is_spec)


def _leading(tree: Any) -> int:
    return int(jax.tree.leaves(tree)[0].shape[0])


def _pad(tree: Any, idle: int) -> Any:
    return jax.tree.map(lambda leaf: leaf[np.minimum(np.arange(len(leaf) + idle), len(leaf) - 1)], tree)


def _cut(tree: Any, runs: int) -> Any:
    return jax.tree.map(lambda leaf: leaf[:runs], tree)
