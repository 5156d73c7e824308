"""A program compiled for its devices: how long that took, what memory it needs, what XLA says it computes."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
from jax.stages import Compiled

from ialp_jax.bench.measuring.program import Program, Tree
from ialp_jax.bench.measuring.tracing import traced_flops
from ialp_jax.training.device import Memory, compiler_options, memory_of, sharing
from ialp_jax.training.mesh import Layout, on_mesh

Call = Callable[[Tree, Tree], tuple[Tree, Tree]]


@dataclass(frozen=True)
class Ready:
    """A compiled program.

    Attributes:
        program: what was compiled.
        call: the executable.
        compile_seconds: tracing, lowering and compiling, nothing cached.
        memory: of one call, on one device.
        traced_flops: matrix products of the program as written.
        xla_flops: all operations by XLA's cost analysis, loop bodies once; None where XLA does not say.
        text: prints the compiled program, where XLA can.
    """

    program: Program
    call: Call
    compile_seconds: float
    memory: Memory
    traced_flops: float
    xla_flops: float | None
    text: Callable[[], str | None]

    @property
    def sharing(self) -> int:
        """Its devices that live in one memory."""
        mesh = self.program.mesh
        return 1 if mesh is None else sharing(list(mesh.devices.flat))

    @property
    def total(self) -> int:
        """Bytes of that memory at the height of a call."""
        return self.sharing * self.memory.total

    @property
    def resident(self) -> int:
        """Bytes of it held between calls, shared data and outputs included."""
        return self.sharing * (self.memory.arguments + self.memory.outputs)

    @property
    def working(self) -> int:
        """Bytes of it that a call takes beside what is held: its new outputs, too."""
        return self.sharing * (self.memory.temporary + self.memory.outputs)


def compile_program(program: Program) -> Ready:
    """Compiles for the default device from shapes alone: nothing of the point's size is allocated."""
    key = jax.eval_shape(lambda: jax.random.key(0))
    data = jax.eval_shape(program.make_data, key)
    state = jax.eval_shape(program.start, key, data)
    begun = time.perf_counter()
    if program.mesh is None:
        compiled = jax.jit(program.step, donate_argnums=0).lower(state, data).compile(compiler_options())
        call: Call = compiled
    else:
        shared = on_mesh(lambda runs, _, world: program.step(runs, world), program.mesh, state, None)
        compiled = shared.lower(state, (), data).compile(compiler_options())
        call = lambda state, data: compiled(state, (), data)  # noqa: E731
    taken = time.perf_counter() - begun
    return Ready(
        program,
        call,
        taken,
        memory_of(compiled),
        traced_flops(program.step, state, data),
        xla_flops(compiled),
        compiled.as_text,
    )


def xla_flops(call: Compiled) -> float | None:
    """What the cost analysis counts."""
    analysis: Any = call.cost_analysis()
    analysis = analysis[0] if isinstance(analysis, (list, tuple)) and analysis else analysis
    flops = analysis.get("flops") if analysis else None
    return float(flops) if flops is not None and flops > 0 else None


def start(program: Program, data: Tree, seed: int) -> Tree:
    """The state of the first call."""
    state = jax.jit(program.start)(jax.random.key(seed), data)
    if program.mesh is None:
        return state
    return Layout(jax.tree.leaves(state)[0].shape[0], program.mesh).place_runs(state)


def shared_data(program: Program, seed: int) -> Tree:
    """The arrays that calls share, on every device of the program."""
    return Layout(1, program.mesh).place(jax.jit(program.make_data)(jax.random.key(seed)))
