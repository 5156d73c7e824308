"""The settings that were the defaults when the runs in tests/golden were made: their numbers must not move."""

from ialp_jax.study.config import recipe_changes


def earlier(methods):
    """Fields of a study of these methods, by dotted name, that have another default now."""
    others = {"policy.encoder": "gru", "policy.item_start": "text", "preferences.count_history": True}
    return others | recipe_changes("policy gradient", tuple(methods))


def flags(changes):
    """The same for a command line."""
    words = []
    for name, value in changes.items():
        group, _, field = name.replace("_", "-").rpartition(".")
        option = f"--{group}.no-{field}" if value is False else f"--{group}.{field}"
        words += [option] if isinstance(value, bool) else [option, str(value)]
    return words
