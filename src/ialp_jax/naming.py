"""Settings in words: dotted names as short as tells them apart, values as a person writes them."""

from collections.abc import Mapping

from ialp_jax.artifacts import Value


def label(setting: Mapping[str, Value]) -> str:
    """A setting in words, such as "learning_rate 0.003, entropy 0.01": names as short as tells them apart."""
    return ", ".join(f"{name} {_shown(setting[full])}" for full, name in short_names(list(setting)).items())


def short_names(names: list[str]) -> dict[str, str]:
    """The shortest ends of dotted names that are different, by full name."""
    short = {}
    for name in names:
        parts = name.split(".")
        ends = [".".join(parts[-length:]) for length in range(1, len(parts) + 1)]
        others = [other for other in names if other != name]
        short[name] = next(
            (end for end in ends if not any(f".{other}".endswith(f".{end}") for other in others)), name
        )
    return short


def _shown(value: Value) -> str:
    if isinstance(value, tuple):
        return f"({' '.join(map(_shown, value))})"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)
