"""The options of a method as a sweep sees them: other values that each may have, and what gives it an effect."""

import math
import types
from typing import Any, Literal, Union, get_args, get_origin

from ialp_jax.artifacts import InputError, Value
from ialp_jax.marks import Only, OnlyAboveZero
from ialp_jax.methods.base import Stage
from ialp_jax.study.config import StudyConfig
from ialp_jax.study.fields import apply, beside, fields_of, held, kind_of, marks_of
from ialp_jax.study.stages import check_chunks, identity, static_key
from ialp_jax.testing.trial import Trial

Change = tuple[str, Value]


def own_options(trial: Trial) -> list[str]:
    """Dotted names of the method's own options."""
    return [name for name in fields_of(trial.config) if name.startswith(f"methods.{trial.entry.name}.")]


def other_values(config: StudyConfig, name: str) -> list[Value]:
    """Values of an option that it does not hold now and that its range allows, near and far."""
    now, kind = held(config, name), kind_of(config, name)
    candidates = dict.fromkeys(_candidates(kind, now))
    return [value for value in candidates if value != now and _fits(config, name, value)]


def _candidates(kind: Any, now: Any) -> list[Any]:
    if get_origin(kind) in (Union, types.UnionType):
        (inner,) = [choice for choice in get_args(kind) if choice is not type(None)]
        return [None, *_candidates(inner, now)]
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    if kind is bool:
        return [True, False]
    number = now if isinstance(now, (int, float)) and math.isfinite(now) else 1
    if kind is int:
        return [number + 1, 2 * number, number // 2, number - 1]
    if kind is float:
        near = [number * 10.0, number * 0.1, number * 0.001, number + 0.25, number - 0.25, 0.5 * number]
        return [*near, math.inf]
    return []


def _fits(config: StudyConfig, name: str, value: Value) -> bool:
    try:
        check_chunks(apply(config, {name: value}))  # which makes the learners too
    except InputError:
        return False
    return True


def conditions(config: StudyConfig, name: str) -> tuple[Change, ...]:
    """What other options must hold so that this one has an effect, where they do not."""
    changes: list[Change] = []
    for mark in marks_of(config, name):
        if isinstance(mark, Only):
            other = beside(config, name, mark.field)
            if not mark.met(held(config, other)):
                changes.append(
                    (
                        other,
                        _above_zero(held(config, other)) if isinstance(mark, OnlyAboveZero) else mark.value,
                    )
                )
    return tuple(changes)


def _above_zero(number: float) -> float:
    return 1 if isinstance(number, int) else 0.5


def moved_stage(trial: Trial, stage: Stage, change: Change) -> Stage | None:
    """The stage with a changed option, where that changes its numbers and nothing of its program; None otherwise."""
    changed = trial.having(dict([change]))
    place = trial.place(stage)
    if len(changed.stages) != len(trial.stages):
        return None
    other = changed.stages[place]
    same = static_key(other, changed.config) == static_key(stage, trial.config)
    return other if same and identity(other.hyper) != identity(stage.hyper) else None


def moves(trial: Trial, change: Change) -> bool:
    """Whether a changed option changes any stage of the method."""
    changed = trial.having(dict([change]))
    return [changed.key(stage) for stage in changed.stages] != [trial.key(stage) for stage in trial.stages]
