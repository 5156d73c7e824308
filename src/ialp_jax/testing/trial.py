"""A method in a small world: its stages trained for a few updates, by the same code that a study and a sweep run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array
from rich.console import Console

from ialp_jax.artifacts import Value
from ialp_jax.methods.base import Stage
from ialp_jax.methods.registry import Registered, get, with_foundations
from ialp_jax.serving.stream import Stream
from ialp_jax.study.config import StudyConfig
from ialp_jax.study.fields import apply
from ialp_jax.study.inputs import Inputs
from ialp_jax.study.stages import Program, Runs, own_numbers, program_of, stage_key, stages_of
from ialp_jax.testing.tiny import FEW_ITEMS, SMALL, paying_inputs, small_inputs, tiny_config
from ialp_jax.training.checkpoint import CheckpointStore
from ialp_jax.training.loop import Trained, train
from ialp_jax.training.mesh import MeshConfig, make_mesh
from ialp_jax.training.progress import step_bar

_TRAINED: dict[tuple[Any, ...], Trained] = {}
"""Runs of one seed, by stage; methods that start from the same stage share it."""

_BARE: dict[tuple[Any, ...], tuple[Program, Any]] = {}
"""The same without the training loop around them (`Trial.bare`)."""


@dataclass(frozen=True)
class Trial:
    """A method with its options, and the world it is tried in.

    Attributes:
        entry: the method.
        config: a small study of it alone.
        inputs: what its stages read.
    """

    entry: Registered
    config: StudyConfig
    inputs: Inputs

    @classmethod
    def small(cls, method: str) -> "Trial":
        """A method, by name or file, with its options at their defaults, in the world of fifty users."""
        return cls(get(method), tiny_config((method,), SMALL), small_inputs())

    @classmethod
    def paying(cls, method: str, online: Stream) -> "Trial":
        """The same where every third of a dozen items pays."""
        return cls(get(method), tiny_config((method,), FEW_ITEMS, online), paying_inputs())

    def having(self, changes: Mapping[str, Value]) -> "Trial":
        """The same with other values in some fields of the study, by dotted name."""
        return replace(self, config=apply(self.config, changes))

    @property
    def stages(self) -> tuple[Stage, ...]:
        """All stages of the method."""
        return stages_of(self.entry, self.config)

    @property
    def own_stages(self) -> list[Stage]:
        """Its stages but those of methods it builds on, whose kit tries them."""
        others = {
            self.key(stage)
            for foundation in with_foundations(self.config.methods)
            if foundation.name != self.entry.name
            for stage in stages_of(foundation, self.config)
        }
        return [stage for stage in self.stages if self.key(stage) not in others]

    def place(self, stage: Stage) -> int:
        """Of a stage among all of the method; stages go by their names."""
        return [other.name for other in self.stages].index(stage.name)

    def key(self, stage: Stage) -> str:
        """What the stage is known by."""
        return stage_key(stage, self.config, self.inputs.sources)

    def program(self, stage: Stage, seeds: Sequence[int], numbers: Any = None) -> Program:
        """A stage as the program of one run per seed; `numbers` are its runs' own, every leaf [R]."""
        return program_of(stage, self.inputs, self.config, Runs(np.asarray(seeds, np.int32), numbers),
                          lambda source: self._products(source, seeds))  # fmt: skip

    def run(
        self, program: Program, until: int | None = None, folder: Path | None = None, mesh: Mesh | None = None
    ) -> Trained:
        """Trains for `until` updates, or all (`updates_of`); goes on from what an earlier call has left in `folder`."""
        most = self.updates_of(program)
        until = most if until is None else min(until, most)
        store = None if folder is None else CheckpointStore(folder, "trial")
        with step_bar("", Console(quiet=True)) as watch:
            return train(program.learner, program.start, program.hyper, program.data, self.config.loop,
                         store, watch, program.hyper_axis, until, mesh)  # fmt: skip

    def alone(self, stage: Stage, seed: int = 0, until: int | None = None) -> Trained:
        """One run, by itself, with the stage's numbers; kept."""
        key = (type(self.inputs), self.key(stage), seed, until)
        if key not in _TRAINED:
            _TRAINED[key] = self.run(self.program(stage, [seed]), until)
        return _TRAINED[key]

    def bare(self, stage: Stage) -> tuple[Program, Any]:
        """What `alone` with seed 0 trains, and the stages before it, update by update: no loop around them, no guard.

        Such programs compile in half the time and less. Kept.

        Returns:
            (program, state [1, ...]); numbers are `alone`'s up to rounding.
        """
        key = (type(self.inputs), self.key(stage))
        if key not in _BARE:
            program = program_of(
                stage, self.inputs, self.config, Runs(np.zeros(1, np.int32)), self._bare_product
            )
            update, run = jax.jit(program.learner.update), row(program.start(), 0)
            for _ in range(self.updates_of(program)):
                run, _ = update(run, program.hyper, program.data)
            _BARE[key] = program, jax.tree.map(lambda leaf: leaf[None], run)
        return _BARE[key]

    def updates_of(self, program: Program) -> int:
        """How many updates a whole trial has; what serves nobody gets no more than a few times those that serve."""
        updates = program.learner.updates
        return updates if program.learner.steps else min(updates, 4 * self.config.online.updates)

    def shared(self, stage: Stage, devices: int) -> Trained:
        """What `alone` with seed 0 trains, its users shared by so many devices."""
        online = self.config.online
        mesh = make_mesh(MeshConfig(run=1, user=devices), 1, online.users, online.pool)
        return self.run(self.program(stage, [0]), mesh=mesh)

    def together(self, stages: Sequence[Stage], seeds: Sequence[int], until: int | None = None) -> Trained:
        """Runs of stages that differ in numbers only, side by side in one program, as a sweep runs them."""
        return self.run(self.program(stages[0], seeds, own_numbers(stages)), until)

    def _products(self, stage: Stage, seeds: Sequence[int]) -> Any:
        """What a stage leaves with each seed, every leaf [R]."""
        program = self.program(stage, seeds[:1])
        products = [program.products(self.alone(stage, seed).run) for seed in seeds]
        return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *products)

    def _bare_product(self, stage: Stage) -> Any:
        program, run = self.bare(stage)
        return program.products(run)


def row(run: Any, place: int) -> Any:
    """One run of several."""
    return jax.tree.map(lambda leaf: leaf[place], run)


def leaves_of(tree: Any) -> dict[str, np.ndarray]:
    """The arrays of a tree by their names, without random keys."""
    return {jax.tree_util.keystr(path, simple=True, separator="."): np.asarray(leaf)
            for path, leaf in jax.tree.leaves_with_path(tree) if not _is_key(leaf)}  # fmt: skip


def words_of(tree: Any) -> dict[str, np.ndarray]:
    """As `leaves_of`, with random keys as the words they are made of."""
    return leaves_of(jax.tree.map(lambda leaf: jax.random.key_data(leaf) if _is_key(leaf) else leaf, tree))


def apart(left: Any, right: Any, relative: float, absolute: float) -> list[str]:
    """Names of the arrays in which two trees differ by more than rounding."""
    pairs = leaves_of(left), leaves_of(right)
    return [name for name, array in pairs[0].items()
            if not np.allclose(array, pairs[1][name], relative, absolute, equal_nan=True)]  # fmt: skip


def _is_key(leaf: Array) -> bool:
    return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
