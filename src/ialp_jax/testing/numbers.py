"""Numbers that a sweep may give every run of its own: each must matter, and none may compile a program again."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ialp_jax.methods.base import Stage
from ialp_jax.study.measure import fresh_sessions
from ialp_jax.study.stages import Program, compiled_training, own_numbers
from ialp_jax.testing.options import Change, conditions, moved_stage, moves, other_values, own_options
from ialp_jax.testing.tiny import CHUNK
from ialp_jax.testing.trial import Trial, apart, row
from ialp_jax.training.loop import programs_compiled

UNTIL = 2 * CHUNK
SAME = 1e-6
"""Runs with equal numbers may differ by so much, relative to a value and outright: rounding under `vmap`."""


def idle_options(trial: Trial) -> list[str]:
    """Options that change no stage, whatever value they are given."""
    idle = []
    for name in own_options(trial):
        now = trial.having(dict(conditions(trial.config, name)))
        values = other_values(now.config, name)
        if values and not any(moves(now, (name, value)) for value in values):
            idle.append(name)
    return idle


@dataclass(frozen=True)
class Variants:
    """A stage with its own numbers first and last, and between them with each other value of its options.

    Attributes:
        trial: the method, with what these options need to have an effect.
        stages: all of them; they differ in numbers only.
        places: of each option's other values among them.
    """

    trial: Trial
    stages: tuple[Stage, ...]
    places: dict[str, list[int]]

    def program(self) -> Program:
        """All of them side by side, with one seed."""
        return self.trial.program(self.stages[0], [0] * len(self.stages), own_numbers(self.stages))


def variants_of(trial: Trial, stage: Stage) -> list[Variants]:
    """What the method's options can give one of its stages as other numbers, by what these options need."""
    place = trial.place(stage)
    by_need: dict[tuple[Change, ...], dict[str, list[Stage]]] = {(): {}}
    for name in own_options(trial):
        needed = conditions(trial.config, name)
        now = trial.having(dict(needed))
        if len(now.stages) != len(trial.stages):
            continue
        changed = [
            moved_stage(now, now.stages[place], (name, value)) for value in other_values(now.config, name)
        ]
        if others := [other for other in changed if other is not None]:
            by_need.setdefault(needed, {})[name] = others
    return [_laid_out(trial.having(dict(needed)), place, others) for needed, others in by_need.items()]


def _laid_out(trial: Trial, place: int, by_option: dict[str, list[Stage]]) -> Variants:
    base, stages, places = trial.stages[place], [trial.stages[place]], {}
    for name, others in by_option.items():
        places[name] = list(range(len(stages), len(stages) + len(others)))
        stages += others
    return Variants(trial, (*stages, base), places)


def without_effect(trial: Trial, stage: Stage) -> list[str]:
    """Options that are numbers of a stage, and change nothing that it leaves or does after some updates."""
    silent = []
    for variants in variants_of(trial, stage):
        program = variants.program()
        states = variants.trial.run(program, UNTIL).run
        assert _same(states, 0, -1), (
            f"{stage.name}: two runs with equal seeds and numbers, side by side, differ"
        )
        still = _unmoved(variants, lambda place, states=states: _same(states, 0, place))
        if program.data.world is None:
            silent += still
        elif still:
            played = [
                fresh_sessions(program, states, variants.trial.config, greedy) for greedy in (False, True)
            ]
            items = np.stack([sessions.items for sessions in played])
            idle = _unmoved(variants, lambda place, items=items: np.array_equal(items[:, 0], items[:, place]))
            silent += [name for name in still if name in idle]
    return silent


def recompiling(trial: Trial, stage: Stage) -> list[str]:
    """Options that are numbers of a stage, and whose other values need another program: as a sweep runs them, side by
    side, and, where they need no other option to be set, as a study runs one of them."""
    guilty = []
    _compile(trial, trial.program(stage, [0]))
    for variants in variants_of(trial, stage):
        now, width = variants.trial, len(variants.stages)
        _compile(now, variants.program())
        for name, places in variants.places.items():
            other, before = variants.stages[places[0]], programs_compiled()
            _compile(now, now.program(other, [0] * width, own_numbers([other] * width)))
            if now.config == trial.config:
                _compile(now, now.program(other, [0]))
            if programs_compiled() > before:
                guilty.append(name)
    return guilty


def _compile(trial: Trial, program: Program) -> None:
    """Asks for the program that the training loop would run."""
    compiled_training(program, trial.config.loop.chunk)


def _unmoved(variants: Variants, same: Any) -> list[str]:
    """Options of which no value makes a difference, as `same` tells of a place."""
    return [name for name, places in variants.places.items() if all(map(same, places))]


def _same(states: Any, left: int, right: int) -> bool:
    """Whether two of several runs are in one state, but for rounding."""
    return not apart(row(states, left), row(states, right), SAME, SAME)
