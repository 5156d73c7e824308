"""A study as the shell command that repeats it."""

import shlex
from collections.abc import Mapping
from pathlib import Path

from ialp_jax.artifacts import Value


def command(
    env: str,
    preset: str,
    data: Path | None,
    prefs: Path | None,
    method: str | None,
    seeds: int,
    changes: Mapping[str, Value],
) -> str:
    """The shell command that trains exactly this setting; numbers are written so that they are read back exactly.

    Args:
        env: name or file of the environment.
        preset: size of the study.
        data: folder of logs, if any.
        prefs: folder of a finished table, if any.
        method: the only one to run; None for all of them.
        seeds: paired seeds.
        changes: values by dotted name: the space's fixed ones and the setting's.
    """
    words = ["ialp", "train", env, "--preset", preset]
    for name, path in (("--data", data), ("--prefs", prefs)):
        words += [] if path is None else [name, str(path)]
    words += ["--seeds", str(seeds), *([] if method is None else ["--methods", method])]
    for name, value in changes.items():
        words += _flag(name, value)
    return shlex.join(words)


# A flag with a value, where tyro turns other booleans into a pair of flags.
_WITH_VALUE = ("preferences.gate.enforce",)


def _flag(name: str, value: Value) -> list[str]:
    """One field as tyro reads it."""
    *path, last = name.replace("_", "-").split(".")
    if isinstance(value, bool) and name not in _WITH_VALUE:
        return ["--" + ".".join([*path, last if value else f"no-{last}"])]
    flag = "--" + ".".join([*path, last])
    if isinstance(value, tuple):
        return [flag, *(map(_word, value) if value else ["none"])]
    return [flag, _word(value)]


def _word(value: Value) -> str:
    return repr(value) if isinstance(value, float) else str(value)
