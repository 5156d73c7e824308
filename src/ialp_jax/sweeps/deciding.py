"""What a sweep decides where its settings say auto: once, for all of them."""

import tempfile
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from ialp_jax.study.config import StudyConfig
from ialp_jax.study.deciding import decide
from ialp_jax.study.decision import open_questions
from ialp_jax.study.inputs import Inputs
from ialp_jax.sweeps.definition import Sweep
from ialp_jax.sweeps.worlds import Worlds


def with_decision(sweep: Sweep, console: Console) -> Sweep:
    """The sweep with what auto stands for, decided on the logs and settings that its axes start from.

    An axis that lists values has them tried as they are; what it lists as auto is what was decided.
    """
    asked = next((config for config in _studies(sweep) if open_questions(config, sweep.stages(config))), None)
    if asked is None:
        return sweep
    with tempfile.TemporaryDirectory() as scratch:
        worlds = Worlds(sweep, Path(scratch), console)
        dataset = worlds.dataset(asked)
        inputs = Inputs(dataset, asked, Path(scratch), console, worlds.table(dataset, asked))
        decision = decide(inputs)
    for sentence in decision.statements:
        console.print(sentence, markup=False, highlight=False)
    return replace(sweep, decision=decision)


def _studies(sweep: Sweep) -> list[StudyConfig]:
    """The study that its settings change, and that with each of the listed values."""
    listed = [{axis.name: value} for axis in sweep.space.axes for value in axis.values]
    return [sweep.asked(setting) for setting in ({}, *listed)]
