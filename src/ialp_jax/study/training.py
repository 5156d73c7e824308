"""The stages of a study, each trained once; what is needed next is compiled while one runs."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from jax.sharding import Mesh
from rich.console import Console

from ialp_jax.divergence import Divergence
from ialp_jax.health import Record, stage_health
from ialp_jax.methods.base import Budget, Stage
from ialp_jax.methods.registry import Registered
from ialp_jax.study.ahead import Ahead
from ialp_jax.study.export import export_policy, exported_method
from ialp_jax.study.folder import run_state_store
from ialp_jax.study.inputs import Inputs
from ialp_jax.study.measure import MethodResult, compile_sessions, measure
from ialp_jax.study.stages import (
    Program,
    compiled_training,
    product_shapes,
    program_of,
    stage_key,
    study_runs,
)
from ialp_jax.training.loop import Trained, train
from ialp_jax.training.progress import step_bar


class Training:
    """Trains the stages of a study, each once, and reads finished ones back from their run states."""

    def __init__(
        self,
        methods: Mapping[Registered, tuple[Stage, ...]],
        inputs: Inputs,
        console: Console,
        run_states: Path,
        mesh_of: Callable[[Budget], Mesh | None],
    ) -> None:
        """Nothing is trained yet.

        Args:
            methods: of the study, with their stages.
            inputs: of the study, whose configuration it is.
            console: where it shows what runs.
            run_states: folder of the run states.
            mesh_of: the devices of a stage, by its budget.
        """
        self.methods, self.inputs, self._console = methods, inputs, console
        self._run_states, self._mesh_of = run_states, mesh_of
        self._products: dict[str, Any] = {}
        self._diverged: dict[str, tuple[Divergence | None, ...]] = {}
        self._health: dict[str, Record] = {}

    def run(self, out: Path) -> dict[Registered, MethodResult]:
        """Trains what every method needs and measures it; exports the policy that is the study's to export, to `out`."""
        with Ahead() as ahead:
            return {entry: self._method(entry, stages, out, ahead) for entry, stages in self.methods.items()}

    def key(self, stage: Stage) -> str:
        """What the stage is known by."""
        return stage_key(stage, self.inputs.config, self.inputs.sources)

    def health(self, stages: tuple[Stage, ...]) -> list[Record]:
        """Of the stages of a method that was trained, those of which anything is watched."""
        records = [self._health[self.key(stage)] for stage in stages]
        return [record for record in records if record["watched"]]

    def _method(self, entry: Registered, stages: tuple[Stage, ...], out: Path, ahead: Ahead) -> MethodResult:
        *_, last = stages
        config, key = self.inputs.config, self.key(last)
        program, trained = self._train(last, ahead)
        ahead.wait(("sessions", key))
        result = measure(entry.card, stages, program, trained, self.inputs, config, self._diverged[key])
        if entry == exported_method(config):
            product = program.products(trained.run)
            export_policy(out, entry, stages, product, self._diverged[key][0], self.inputs, self._console)
        return result

    def _product(self, stage: Stage, ahead: Ahead) -> Any:
        """What a stage leaves, every leaf [R]."""
        key = self.key(stage)
        if key not in self._products:
            program, trained = self._train(stage, ahead)
            self._products[key] = program.products(trained.run)
        return self._products[key]

    def _train(self, stage: Stage, ahead: Ahead) -> tuple[Program, Trained]:
        program = self._program(stage, lambda source: self._product(source, ahead))
        self._ask_for_next(stage, program, ahead)
        config, key = self.inputs.config, self.key(stage)
        ahead.wait(("training", key))
        store = run_state_store(self._run_states, stage.name, key)
        with step_bar(stage.name, self._console) as watch:
            trained = train(
                program.learner, program.start, program.hyper, program.data, config.loop, store, watch,
                program.hyper_axis, mesh=self._mesh_of(stage.budget),
            )  # fmt: skip
        self._note_divergence(stage, trained)
        self._health[key] = stage_health(stage.name, program.learner.updates, trained.metrics)
        return program, trained

    def _program(self, stage: Stage, products: Callable[[Stage], Any]) -> Program:
        config = self.inputs.config
        return program_of(stage, self.inputs, config, study_runs(config), products)

    def _ask_for_next(self, stage: Stage, program: Program, ahead: Ahead) -> None:
        """Has compiled what measures this stage and what trains the next one, whose inputs are made before this one runs.

        On several devices only the training: what starts and measures it takes its arrays where they lie by then.
        """
        config, key = self.inputs.config, self.key(stage)
        measured = {self.key(stages[-1]) for stages in self.methods.values()}
        if key in measured and self._mesh_of(stage.budget) is None:
            ahead.ask(("sessions", key), lambda: compile_sessions(program, config))
        following = self._after(stage)
        if following is None or not ahead.wants(name := ("training", self.key(following))):
            return
        coming, mesh = self._program(following, self._shapes), self._mesh_of(following.budget)

        def compile_coming() -> None:
            if mesh is None:
                coming.start.compile()
            compiled_training(coming, config.loop.chunk, mesh)

        ahead.ask(name, compile_coming)

    def _shapes(self, stage: Stage) -> Any:
        """Of what a stage will leave."""
        return product_shapes(stage, self.inputs, self.inputs.config, study_runs(self.inputs.config))

    def _after(self, stage: Stage) -> Stage | None:
        """The stage that is trained next."""
        stages = {self.key(other): other for stages in self.methods.values() for other in stages}
        place = list(stages).index(self.key(stage)) + 1
        return list(stages.values())[place] if place < len(stages) else None

    def _note_divergence(self, stage: Stage, trained: Trained) -> None:
        """Keeps and says which seeds diverged; one that did in a stage before is not what this stage says it is."""
        key = self.key(stage)
        if key in self._diverged:  # it was trained before, and is read back
            return
        own = [None if one is None else replace(one, stage=stage.name) for one in trained.diverged]
        before = [self._diverged[self.key(start)] for start in stage.before]
        self._diverged[key] = tuple(
            next((one for one in seeds if one is not None), None) for seeds in zip(*before, own, strict=True)
        )
        for seed, one in enumerate(own):
            if one is not None:
                self._console.print(f"diverged: seed {seed} at {one}. It stays as it was before, and its numbers do not count.",
                                    style="bold red", markup=False, highlight=False)  # fmt: skip
