"""Options in files: as a run's config.json has them, and as a sweep's TOML has them."""

import json
import math
import tempfile
from pathlib import Path
from typing import Any

from ialp_jax.artifacts import InputError, Value
from ialp_jax.marks import Yardstick
from ialp_jax.study.fields import apply, hashable, held, marks_of, record_of
from ialp_jax.sweeps.reading import read_space
from ialp_jax.sweeps.settings import check_space
from ialp_jax.testing.options import conditions, other_values, own_options
from ialp_jax.testing.trial import Trial


def lost_in_json(trial: Trial) -> list[str]:
    """Options, at their defaults and at other values, that are not read back as they were recorded, and why."""
    lost = []
    for name in own_options(trial):
        changed = [trial.having({name: value}).config for value in other_values(trial.config, name)]
        for config in (trial.config, *changed):
            record = record_of(config)["options"][trial.entry.name]
            value = record[name.removeprefix(f"methods.{trial.entry.name}.")]
            try:
                read = held(apply(trial.config, {name: hashable(json.loads(json.dumps(value)))}), name)
            except (InputError, TypeError) as error:
                lost.append(f"{name}: {error}")
                continue
            if read != held(config, name):
                lost.append(f"{name}: {held(config, name)!r} became {read!r}")
    return lost


def lost_in_toml(trial: Trial, folder: Path | None = None) -> list[str]:
    """Options that a sweep's file cannot fix, or, where they have other values, cannot search.

    A file is written for every option, which lists its values; all others stand in [fixed].
    """
    if folder is None:
        with tempfile.TemporaryDirectory() as fresh:
            return lost_in_toml(trial, Path(fresh))
    lost = []
    for name in own_options(trial):
        needed = dict(conditions(trial.config, name))
        now = trial.having(needed).config
        values = [value for value in (held(now, name), *other_values(now, name)) if _writable(value)]
        if len(values) < 2 or any(isinstance(mark, Yardstick) for mark in marks_of(now, name)):
            continue  # nothing to search: it is fixed in the files of the others
        fixed = {
            other: held(now, other)
            for other in own_options(trial)
            if other != name and _writable(held(now, other))
        }
        path = folder / "space.toml"
        path.write_text(_toml(trial, name, values, fixed), encoding="utf-8")
        space = check_space(read_space(path), trial.config, path)
        read = [
            held(apply(apply(trial.config, space.fixed), {name: value}), name)
            for value in space.axes[0].values
        ]
        if read != values:
            lost.append(f"{name}: {values} became {read}")
        kept = apply(trial.config, space.fixed)
        lost += [f"{other}: {value!r} became {held(kept, other)!r}" for other, value in fixed.items()
                 if held(kept, other) != value]  # fmt: skip
    return lost


def _writable(value: Value) -> bool:
    """TOML's infinity is refused by sweeps."""
    return not (isinstance(value, float) and math.isinf(value))


def _toml(trial: Trial, name: str, values: list[Value], fixed: dict[str, Value]) -> str:
    (method,) = trial.config.methods
    lines = [f"method = {json.dumps(method)}", "[search]", 'kind = "grid"', "[fixed]"]
    lines += [f"{json.dumps(other)} = {_written(value)}" for other, value in fixed.items()]
    return "\n".join([*lines, "[axes]", f"{json.dumps(name)} = [{', '.join(map(_written, values))}]"]) + "\n"


def _written(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_written, value))}]"
    return json.dumps("none" if value is None else value)
