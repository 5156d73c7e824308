"""The stages of registered methods that learn from users they serve: what `ialp bench` measures of them."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jax

from ialp_jax.methods.base import Budget, Stage, Untrained
from ialp_jax.methods.needs import Need
from ialp_jax.methods.options import options_of
from ialp_jax.methods.registry import Registered, get, names


class DefaultOptions:
    """The default options of a method and of those it builds on, as a study has them."""

    def __init__(self, name: str) -> None:
        self._options = options_of([name])

    def method(self, name: str) -> Any:
        """The options of one of them."""
        return getattr(self._options, name)


def learning_stages() -> Iterator[tuple[Registered, Stage]]:
    """Every stage that learns from users it serves, with its method; once where methods share a program.

    Methods that others build on come first: iALP's pre-training is iALP's, not fine-tuning's.
    """
    seen: list[tuple[Any, ...]] = []
    for name in sorted(names(), key=lambda name: len(get(name).options.builds_on)):
        options = DefaultOptions(name)
        for stage in options.method(name).stages(options):
            program = (
                stage.learner,
                stage.config,
                jax.tree.structure(stage.hyper),
                stage.needs,
                len(stage.after),
            )
            if stage.budget is not Budget.MEASURE and _is_made_up(stage) and program not in seen:
                seen.append(program)
                yield get(name), stage


def taught_stage() -> Stage:
    """iALP's pre-training with its supervised term."""
    options = get("ialp").options()
    stage: Stage = replace(options, hyper=options.hyper.replace(supervised=0.5)).pretraining()
    return stage


def _is_made_up(stage: Stage) -> bool:
    """Whether all that a stage reads can be made up: a world, what is kept apart, parameters of the shared network."""
    reads = all(need.imagines_users or need in (Need.USERS, Need.LIKENESS) for need in stage.needs)
    # What a stage on logs leaves is more than parameters, or other ones.
    starts = all(isinstance(start, Untrained) or _is_made_up(start) for start in stage.after)
    return reads and starts and stage.fitted is None
