"""The settings that were the defaults when the runs in tests/golden were made: their numbers must not move."""

from ialp_jax.methods.base import rest_on_table
from ialp_jax.study.config import StudyConfig, recipe_changes
from ialp_jax.study.stages import stages_of


def earlier(methods):
    """Fields of a study of these methods, by dotted name, that have another default now."""
    config = StudyConfig(methods=tuple(methods))
    others = {"policy.encoder": "gru", "policy.item_start": "text"}
    if any(rest_on_table(stages_of(entry, config)) for entry in config.entries):
        others["preferences.count_history"] = True
    return others | recipe_changes("policy gradient", tuple(methods))


def flags(changes):
    """The same for a command line."""
    words = []
    for name, value in changes.items():
        group, _, field = name.replace("_", "-").rpartition(".")
        option = f"--{group}.no-{field}" if value is False else f"--{group}.{field}"
        words += [option] if isinstance(value, bool) else [option, str(value)]
    return words
