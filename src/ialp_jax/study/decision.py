"""What a study has decided where its configuration says auto, and the configuration with the values that it stands for."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ialp_jax.artifacts import Value, plain, read_json
from ialp_jax.marks import AUTO, ByEvidence, leaves, marks_on
from ialp_jax.methods.base import Stage
from ialp_jax.study.calibrated import follows
from ialp_jax.study.config import StudyConfig
from ialp_jax.study.fields import apply
from ialp_jax.values import checked, made_from

ENTRY = "decided"  # of a record

Side = Literal["logs", "texts"]
LOGS: Side = "logs"
TEXTS: Side = "texts"


@dataclass(frozen=True)
@checked
class Decision:
    """Made once for a study, or a sweep, before its stages.

    Attributes:
        likeness: whose distances say what is kept apart, "logs" or "texts".
        start: what policies start from, and iALP is pre-trained on, "logs" or "texts".
        asked: dotted names of the fields that were auto.
        questions: what they asked for, of "likeness" and "start".
        statements: what was decided and on what numbers, a sentence each.
        basis: fingerprint of all that it was decided from.
    """

    likeness: Side = LOGS
    start: Side = LOGS
    asked: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()
    statements: tuple[str, ...] = ()
    basis: str = ""

    def record(self) -> dict[str, Any]:
        """The entry of a study's or a sweep's record; none where nothing was decided."""
        return {ENTRY: plain(self)} if self.questions else {}


UNDECIDED = Decision()
"""Where nothing that runs reads what auto stands for: the logs' values."""


def recorded(file: Path) -> Decision | None:
    """What a study or sweep had decided whose record is this file; None if there is none, or nothing was decided.

    Raises:
        InputError: if the entry is damaged.
    """
    stored = read_json(file) if file.exists() else None
    entry = stored.get(ENTRY) if isinstance(stored, dict) else None
    return None if entry is None else made_from(Decision, entry, file)


def asked_by(config: StudyConfig) -> Iterator[tuple[str, ByEvidence]]:
    """The fields that are auto, by dotted name, with what is said of them."""
    for leaf in leaves(config):
        kind: Any = type(leaf.owner)
        for mark in marks_on(kind).get(leaf.path[-1], ()):
            if isinstance(mark, ByEvidence) and leaf.value == AUTO:
                yield leaf.name, mark


def open_questions(config: StudyConfig, stages: Iterable[Stage]) -> set[str]:
    """What must be decided before these stages are made: what is auto and read by one of them."""
    read, questions = list(stages), {mark.question for _, mark in asked_by(config)}
    return {question for question in questions if any(follows(stage, [question]) for stage in read)}


def decided_values(config: StudyConfig, decision: Decision) -> dict[str, Value]:
    """The values that auto stands for, by dotted name.

    Recorded sessions that were too few for the logs' distances are too few to say how near is too near by the texts': then
    what the table's world assumes of its users is kept apart, unless a percentile was given.
    """
    marks = dict(asked_by(config))
    values = {name: getattr(mark, getattr(decision, mark.question)) for name, mark in marks.items()}
    by_texts = any(mark.question == "likeness" for mark in marks.values()) and decision.likeness == TEXTS
    if by_texts and config.likeness.percentile is None:
        values["likeness.percentile"] = config.preferences.distance_percentile
    return values


def concrete(config: StudyConfig, decision: Decision = UNDECIDED) -> StudyConfig:
    """The study with those values; the very one where nothing is auto."""
    values = decided_values(config, decision)
    return apply(config, values) if values else config
