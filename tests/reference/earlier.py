"""The settings that were the defaults when the runs in tests/golden were made: their numbers must not move."""

NETWORK = {"policy.encoder": "gru", "policy.item_start": "text"}
ALONE = {"feedback_steps": 0, "learning_rate": 2e-3, "entropy": 0.01}  # the policy gradient
METHODS = {
    "a2c": ALONE | {"look": False},
    "ialp": ALONE | {"look": False, "world": "table", "learning_rate": 1e-3, "entropy": 0.05},
    "a_ialp_ft": ALONE,
    "a_ialp_ap_mixture": ALONE | {"schedule": "annealed"},
    "a_ialp_ap_value": ALONE,
}
FOUNDATION = {"a_ialp_ft": "ialp", "a_ialp_ap_mixture": "ialp", "a_ialp_ap_value": "ialp"}


def earlier(methods):
    """Fields of a study of these methods, by dotted name, that have another default now."""
    used = {name for method in methods for name in (method, FOUNDATION.get(method)) if name in METHODS}
    own = {f"methods.{name}.{field}": value for name in METHODS if name in used
           for field, value in METHODS[name].items()}  # fmt: skip
    return NETWORK | own


def flags(changes):
    """The same for a command line."""
    words = []
    for name, value in changes.items():
        group, _, field = name.replace("_", "-").rpartition(".")
        words += [f"--{group}.no-{field}"] if value is False else [f"--{group}.{field}", str(value)]
    return words
