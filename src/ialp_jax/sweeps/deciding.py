"""What a sweep decides where its settings say auto: once, for all of them."""

from pathlib import Path

from rich.console import Console

from ialp_jax.study.config import StudyConfig
from ialp_jax.study.deciding import decide
from ialp_jax.study.decision import UNDECIDED, Decision, open_questions, recorded
from ialp_jax.sweeps.definition import SWEEP_FILE, Sweep
from ialp_jax.sweeps.worlds import Worlds


def decision_of(sweep: Sweep, worlds: Worlds, out: Path, fresh: bool, console: Console) -> Decision:
    """What auto stands for, decided on the logs and settings that a sweep's axes start from.

    An axis that lists values has them tried as they are; what it lists as auto is what was decided.

    Args:
        sweep: what is run.
        worlds: of it; what is decided from is made there.
        out: folder of the sweep that may be gone on with, which has decided already.
        fresh: it is not.
        console: where the decision is said.
    """
    asked = next((config for config in _studies(sweep) if open_questions(config, sweep.stages(config))), None)
    if asked is None:
        return UNDECIDED
    decision = decide(worlds.of(asked), None if fresh else recorded(out / SWEEP_FILE))
    for sentence in decision.statements:
        console.print(sentence, markup=False, highlight=False)
    return decision


def _studies(sweep: Sweep) -> list[StudyConfig]:
    """The study that its settings change, and that with each of the listed values."""
    listed = [{axis.name: value} for axis in sweep.space.axes for value in axis.values]
    return [sweep.asked(setting) for setting in ({}, *listed)]
