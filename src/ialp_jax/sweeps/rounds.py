"""What is run next: all settings at once, rung after rung of a halving, or batch after batch of an adaptive search."""

from collections.abc import Generator, Mapping
from pathlib import Path

from ialp_jax.study.stages import learner_of
from ialp_jax.sweeps.adaptive import AdaptiveSearch
from ialp_jax.sweeps.definition import Sweep
from ialp_jax.sweeps.search import Setting, initial_settings, rungs, survivors
from ialp_jax.sweeps.units import Round, updates_of

Scores = Mapping[int, float]
"""The objective's interquartile mean over seeds, by number of the setting, as far as it was run."""


Rounds = Generator[Round, Scores, None]
"""Rounds without units; the scores of one are sent before the next is asked for."""


def rounds(sweep: Sweep, out: Path) -> Rounds:
    """The rounds of a sweep. Equal scores lead to equal rounds, in any process.

    An adaptive search begins with the first round whose scores its journal does not hold.
    """
    kind = sweep.space.search.kind
    if kind == "halving":
        yield from _rungs(sweep)
    elif kind == "adaptive":
        yield from _batches(sweep, out)
    else:
        yield Round(0, dict(enumerate(initial_settings(sweep.space))), None)


def planned_settings(sweep: Sweep) -> int:
    """How many settings there will be."""
    search = sweep.space.search
    return len(initial_settings(sweep.space)) if search.kind == "grid" else search.settings or 0


def planned_steps(sweep: Sweep) -> int:
    """Simulator steps of the last stage, all runs, as the base configuration has them; earlier stages are not counted."""
    config, seeds = sweep.config({}), sweep.space.seeds
    learner = learner_of(sweep.stages(config)[-1], 1, config)
    if sweep.space.search.kind != "halving":
        return planned_settings(sweep) * seeds * learner.steps * learner.updates
    steps, before = 0, 0
    for count, updates in rungs(sweep.space, learner.updates, config.loop.chunk):
        steps += count * (updates - before)
        before = updates
    return steps * seeds * learner.steps


def _rungs(sweep: Sweep) -> Rounds:
    config = sweep.config({})
    ladder = rungs(sweep.space, updates_of(sweep.stages(config)[-1], config), config.loop.chunk)
    left: dict[int, Setting] = dict(enumerate(initial_settings(sweep.space)))
    for number, (_, updates) in enumerate(ladder):
        scores = yield Round(number, left, updates)
        numbers = list(left)
        kept = survivors([scores[one] for one in numbers], ladder[min(number + 1, len(ladder) - 1)][0])
        left = {numbers[index]: left[numbers[index]] for index in kept}


def _batches(sweep: Sweep, out: Path) -> Rounds:
    search = AdaptiveSearch(sweep.space, out)
    while not search.done:
        batch = search.batch()
        scores = yield Round(batch[0][0] // sweep.space.search.batch, dict(batch), None)
        for trial, _ in batch:
            search.tell(trial, scores[trial])
