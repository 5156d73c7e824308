"""Stages as a study runs them: which there are, what tells them apart, and their programs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.stages import Compiled
from jaxtyping import Int

from ialp_jax.artifacts import InputError, fingerprint, plain
from ialp_jax.marks import Since, marks_on
from ialp_jax.methods.base import Budget, Data, Learner, Scene, Stage, Untrained
from ialp_jax.methods.needs import Need
from ialp_jax.methods.registry import USER_MODULE, Registered
from ialp_jax.policies.actor_critic import ActorCritic, Network
from ialp_jax.study.calibrated import reads_recorded
from ialp_jax.study.config import StudyConfig
from ialp_jax.study.factors import reads_factors
from ialp_jax.study.inputs import Inputs
from ialp_jax.training.device import compiler_options
from ialp_jax.training.guard import guarded
from ialp_jax.training.loop import compile_chunk, seed_keys
from ialp_jax.training.mesh import Layout
from ialp_jax.worlds.simulator import Simulator

# Purposes of the seeds' keys; all stages of a budget share one, so that users come from the same pools.
PARAMS_STREAM = 0
STREAMS = {Budget.PRETRAIN: 1, Budget.ONLINE: 2, Budget.MEASURE: 2, Budget.NONE: 4}  # 3: evaluation
# Groups of the study's configuration that no stage is made from as a whole: its own stream and options are in its key.
APART = ("seeds", "methods", "options", "pretrain", "online", "evaluation", "loop")


@dataclass(frozen=True)
class Runs:
    """The runs that share a program.

    Attributes:
        seeds: of each run, [R].
        hyper: numbers of each run, every leaf [R]; None if all have the stage's.
    """

    seeds: Int[np.ndarray, "R"]
    hyper: Any = None


@dataclass(frozen=True)
class Program:
    """A stage, ready for the training loop.

    Attributes:
        learner: what runs.
        hyper: its numbers.
        hyper_axis: 0 if every run has its own, None if they share them.
        seeds: of each run, [R].
        data: what all runs read.
        start: makes the initial states of all runs.
    """

    learner: Learner
    hyper: Any
    hyper_axis: int | None
    seeds: Int[np.ndarray, "R"]
    data: Data
    start: "Start"

    def products(self, runs: Any) -> Any:
        """What every one of these runs leaves: the learner's `product` of each, every leaf [R]."""
        return jax.vmap(self.learner.product)(runs)


@dataclass(frozen=True)
class Start:
    """What makes the initial states of all runs when it is called.

    Attributes:
        init: `learner.init` over runs.
        compiled: the same, compiled.
        arguments: of both.
    """

    init: Callable[..., Any]
    compiled: Any
    arguments: tuple[Any, ...]

    def __call__(self) -> Any:
        """The states, every leaf [R]."""
        return self.compiled(*self.arguments)

    def shapes(self) -> Any:
        """Their shapes; nothing is compiled."""
        return jax.eval_shape(self.init, *self.arguments)

    def compile(self) -> None:
        """Has the program there before it is called; arguments of equal shapes share it."""
        self.compiled.lower(*self.arguments).compile()


def stages_of(entry: Registered, config: StudyConfig) -> tuple[Stage, ...]:
    """The stages of a method, in the order of training; the last one is measured."""
    stages: tuple[Stage, ...] = config.method(entry.name).stages(config)
    return stages


def stage_key(stage: Stage, config: StudyConfig, sources: Callable[[Stage], Any]) -> str:
    """Equal for stages that are one: trained once, resumed and charged by this key alone.

    Args:
        stage: of a method of the study.
        config: the study.
        sources: what the configuration does not say of a stage's inputs (`Inputs.sources`).
    """
    return fingerprint(
        static_key(stage, config), sources(stage), identity(stage.hyper), config.loop.chunk,
        [_start_key(start, config, sources) for start in stage.after],
    )  # fmt: skip


def _start_key(start: Stage | Untrained, config: StudyConfig, sources: Callable[[Stage], Any]) -> str:
    return "untrained" if isinstance(start, Untrained) else stage_key(start, config, sources)


def static_key(stage: Stage, config: StudyConfig) -> str:
    """Equal for stages whose programs and inputs are the same: all that decides them but the numbers that are data."""
    fit = stage.fitted
    return fingerprint(
        _source(stage.learner), identity(stage.config), _shape(stage.hyper),
        identity(config.stream(stage.budget)), sorted(need.label for need in stage.needs),
        None if fit is None else (_source(fit.fit), identity(fit.config)), _start_pattern(stage),
        _settings_key(stage, config), *(() if stage.sharpness is None else (stage.sharpness,)),
    )  # fmt: skip


def _settings_key(stage: Stage, config: StudyConfig) -> dict[str, Any]:
    """The groups that a stage is made from, without those that were added later and hold their neutral value."""
    marks: dict[str, tuple[Any, ...]] = marks_on(StudyConfig)
    held = {name: getattr(config, name) for name in settings_of(stage, config)}
    return {name: identity(value) for name, value in held.items() if not _idle(marks.get(name, ()), value)}


def _shape(hyper: Any) -> str:
    """Which numbers there are, without those that were added later: their values are part of the whole key."""
    if not is_dataclass(hyper) or isinstance(hyper, type):
        return str(jax.tree.structure(hyper))
    marks: dict[str, tuple[Any, ...]] = marks_on(type(hyper))  # type: ignore[arg-type]
    later = {name: None for name, held in marks.items() if any(isinstance(mark, Since) for mark in held)}
    return str(jax.tree.structure(replace(hyper, **later))).replace(", None", "")


def _start_pattern(stage: Stage) -> list[int | str]:
    """What `init` starts from, but for which stages those are: their number among those before, or "untrained"."""
    before = list(stage.before)
    return ["untrained" if isinstance(start, Untrained) else before.index(start) for start in stage.after]


def settings_of(stage: Stage, config: StudyConfig) -> list[str]:
    """Groups of the study's configuration that a stage is made from: all but those that other inputs alone need."""
    asked = {name for need in stage.needs for name in need.settings}
    if reads_factors(config.policy.item_start, config.likeness if Need.LIKENESS in stage.needs else None):
        asked.add("factors")
    if reads_recorded(stage, config):
        asked |= set(Need.RECORDED.settings)
    others = {name for need in Need for name in need.settings} - asked
    return [field.name for field in fields(config) if field.name not in (*APART, *others)]


def identity(value: Any) -> Any:
    """Plain values for a key, without fields that were added later and hold their neutral value."""
    if is_dataclass(value) and not isinstance(value, type):
        marks = marks_on(type(value))
        return {field.name: identity(getattr(value, field.name)) for field in fields(value)
                if not _idle(marks.get(field.name, ()), getattr(value, field.name))}  # fmt: skip
    return plain(value)


def _idle(marks: Sequence[Any], value: Any) -> bool:
    return any(isinstance(mark, Since) and mark.neutral == value for mark in marks)


def _source(code: Any) -> list[str]:
    """A class or function by name; what a user's own file registers, by that file's bytes too."""
    module = code.__module__
    return [code.__qualname__, module.rpartition("_")[2] if module.startswith(USER_MODULE) else ""]


def network_of(num_items: int, config: StudyConfig) -> Network:
    """The network all methods share."""
    return Network(ActorCritic(num_items, config.policy))


def learner_of(stage: Stage, num_items: int, config: StudyConfig) -> Learner:
    """The learner of a stage in the scene of a study."""
    network = Network(ActorCritic(num_items, stage.policy(config.policy)))
    scene = Scene(Simulator(config.simulator), network, config.stream(stage.budget))
    return stage.learner(scene, stage.config)


def untrained_params(inputs: Inputs, config: StudyConfig, seeds: Int[np.ndarray, "R"]) -> dict:
    """Untrained parameters of every run: those of its seed, the same for all methods."""
    network, length = network_of(inputs.dataset.num_items, config), config.data.history_length
    start = inputs.item_vectors(config.policy)
    vectors = None if start is None else jnp.asarray(start)
    return _compiled_untrained(network, length)(seed_keys(seeds, PARAMS_STREAM), vectors)


@lru_cache(maxsize=16)
def _compiled_untrained(network: Network, length: int) -> Callable[..., dict]:
    starts = jax.vmap(lambda key, vectors: network.init(key, length, vectors), in_axes=(0, None))
    return jax.jit(starts, compiler_options=compiler_options())


def check_chunks(config: StudyConfig) -> None:
    """Refuses stages whose updates are not whole chunks, before any work; a preset's own numbers are not known earlier.

    Raises:
        InputError: naming the field.
    """
    chunk = config.loop.chunk
    for entry in config.entries:
        for stage in stages_of(entry, config):
            updates = learner_of(stage, 1, config).updates
            if updates % chunk:
                owner = stage.name if stage.budget is Budget.NONE else stage.budget.value
                raise InputError(f"{updates} updates are not a multiple of the chunk of {chunk}",
                                 column=f"{owner}.updates",
                                 fix=f"use {updates - updates % chunk + chunk} updates, or another loop.chunk",
                                 )  # fmt: skip


def own_numbers(stages: Sequence[Stage]) -> Any:
    """The numbers of stages that differ in nothing else, for runs that each have their own: every leaf [R], float32."""
    return jax.tree.map(lambda *values: jnp.asarray(values, jnp.float32), *(stage.hyper for stage in stages))


def study_runs(config: StudyConfig) -> Runs:
    """One run per seed."""
    return Runs(np.arange(config.seeds, dtype=np.int32))


def program_of(
    stage: Stage, inputs: Inputs, config: StudyConfig, runs: Runs, products: Callable[[Stage], Any]
) -> Program:
    """A stage as a program of some runs.

    Args:
        stage: what is trained.
        inputs: prepared as far as it needs them.
        config: the study; of its numbers, those that `runs` does not give.
        runs: seeds, and numbers where they differ.
        products: of the stages before, every leaf [R].
    """
    learner = learner_of(stage, inputs.dataset.num_items, config)
    hyper, axis = (stage.hyper, None) if runs.hyper is None else (runs.hyper, 0)
    data = inputs.data(stage)
    starts = tuple(
        untrained_params(inputs, config, runs.seeds) if isinstance(start, Untrained) else products(start)
        for start in stage.after
    )
    arguments = seed_keys(runs.seeds, STREAMS[stage.budget]), hyper, data, starts
    start = Start(_init_of_runs(learner, axis), _compiled_init(learner, axis), arguments)
    return Program(learner, hyper, axis, runs.seeds, data, start)


def compiled_training(program: Program, chunk: int, mesh: Mesh | None = None) -> Compiled:
    """The program by which the training loop advances these runs, so many updates at a time; compiled if it is not there."""
    layout, numbers = Layout(len(program.seeds), mesh), jax.tree.map(jnp.asarray, program.hyper)
    now = layout.shapes(jax.eval_shape(guarded, program.start.shapes()))
    hyper = numbers if program.hyper_axis is None else layout.shapes(numbers)
    return compile_chunk(program.learner, chunk, program.hyper_axis, now, hyper, program.data, mesh)


def product_shapes(stage: Stage, inputs: Inputs, config: StudyConfig, runs: Runs) -> Any:
    """Shapes of what a stage leaves, every leaf [R]: for programs that are only compiled, not run."""
    program = program_of(
        stage, inputs, config, runs, lambda source: product_shapes(source, inputs, config, runs)
    )
    product = jax.eval_shape(program.products, program.start.shapes())
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), product)


@lru_cache(maxsize=32)
def _init_of_runs(learner: Learner, hyper_axis: int | None) -> Callable[..., Any]:
    """`learner.init` over runs."""
    return jax.vmap(learner.init, in_axes=(0, hyper_axis, None, 0))


@lru_cache(maxsize=32)
def _compiled_init(learner: Learner, hyper_axis: int | None) -> Any:
    """The same, compiled; equal learners share the program."""
    return jax.jit(_init_of_runs(learner, hyper_axis), compiler_options=compiler_options())
