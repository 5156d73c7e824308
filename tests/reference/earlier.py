"""The settings that were the defaults when the runs in tests/golden were made: their numbers must not move."""

from ialp_jax.environments.named.coat import POLICY_GRADIENT

FOUNDATION = {"a_ialp_ft": "ialp", "a_ialp_ap_mixture": "ialp", "a_ialp_ap_value": "ialp"}


def earlier(methods):
    """Fields of a study of these methods, by dotted name, that have another default now."""
    used = {*methods, *(FOUNDATION[method] for method in methods if method in FOUNDATION)}
    return {name: value for name, value in POLICY_GRADIENT
            if not name.startswith("methods.") or name.split(".")[1] in used}  # fmt: skip


def flags(changes):
    """The same for a command line."""
    words = []
    for name, value in changes.items():
        group, _, field = name.replace("_", "-").rpartition(".")
        words += [f"--{group}.no-{field}"] if value is False else [f"--{group}.{field}", str(value)]
    return words
