"""What a sweep searches: the TOML file, read and checked. Host only.

    method = "a2c"                 # what is run with every setting
    objective = "mean_reward"      # what is maximised, a metric of results.json
    seeds = 4                      # paired seeds 0..3, the same for every setting

    [search]
    kind = "sobol"                 # grid, random, sobol, halving or adaptive
    settings = 64                  # how many; a grid counts its own
    seed = 0

    [fixed]                        # instead of the preset's value, in every run
    "online.users" = 128

    [axes]                         # a range, or a list of values
    "methods.a2c.learning_rate" = {low = 1e-4, high = 1e-2, log = true}
    "policy.encoder" = ["gru", "sasrec"]

Whether the fields exist, and whether they can change what the method achieves, is asked in `settings.py`.
"""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from ialp_jax.artifacts import InputError, Value, plain
from ialp_jax.sweeps.space import Axis, Kind, Objective, Search, Space, rung_shares

_OF_KIND = {
    "grid": {"kind", "seed"},
    "random": {"kind", "seed", "settings"},
    "sobol": {"kind", "seed", "settings"},
    "halving": {"kind", "seed", "settings", "start", "eta", "first_share"},
    "adaptive": {"kind", "seed", "settings", "batch", "sampler"},
}
_LEAST = {"seeds": 1, "search.settings": 1, "search.seed": 0, "search.eta": 2, "search.batch": 1}


def read_space(path: Path) -> Space:
    """Reads the file of a sweep.

    Raises:
        InputError: naming file and key, if the file is missing or no TOML, a key is unknown, missing or of the wrong
            type, or the axes do not suit the search.
    """
    try:
        stored = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError):
        raise InputError("there is no such file", file=path,
                         fix="give the path of a sweep's file (experiments/sweeps holds some)") from None  # fmt: skip
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"not valid TOML ({error})", file=path, fix="mend that place") from error
    return _Reader(path).space(stored)


def space_of(stored: Mapping[str, Any], folder: Path) -> Space:
    """The same from what such a file would hold; a method's file is looked for in `folder`.

    Raises:
        InputError: as `read_space`.
    """
    return _Reader(folder / "space").space(plain(stored))


@dataclass(frozen=True)
class _Reader:
    """Checks what was stored; every error names the file."""

    file: Path

    def space(self, stored: dict[str, Any]) -> Space:
        self.known("", stored, {field.name for field in fields(Space)}, {"method", "search", "axes"})
        search = self.search(self.table("search", stored["search"]))
        fixed = {name: self.value(f"fixed.{name}", value)
                 for name, value in self.table("fixed", stored.get("fixed", {})).items()}  # fmt: skip
        axes = tuple(
            self.axis(name, value, search.kind) for name, value in self.table("axes", stored["axes"]).items()
        )
        if not axes:
            raise self.error(
                "axes", "nothing is searched", "name at least one field with its range or values"
            )
        for axis in axes:
            if axis.name in fixed:
                raise self.error(f"axes.{axis.name}", "the field is in [fixed] too", "keep one of the two")
        return Space(
            self.method(stored["method"]),
            self.choice("objective", stored.get("objective", "mean_reward"), Objective),
            self.whole("seeds", stored.get("seeds", 4)), search, fixed, axes,
        )  # fmt: skip

    def search(self, stored: dict[str, Any]) -> Search:
        self.known("search.", stored, {field.name for field in fields(Search)}, {"kind"})
        kind = self.choice("search.kind", stored["kind"], Kind)
        for name in stored:
            if name not in _OF_KIND[kind]:
                owners = [other for other, names in _OF_KIND.items() if name in names]
                raise self.error(
                    f"search.{name}", f"it only concerns {' and '.join(owners)}, not {kind}", "leave it out"
                )
        if kind != "grid" and "settings" not in stored:
            raise self.error(
                "search.settings", "the number of settings is missing", "add for example settings = 32"
            )
        given = {name: self.whole(f"search.{name}", value) for name, value in stored.items()
                 if name in ("settings", "seed", "eta", "batch")}  # fmt: skip
        search = Search(
            kind, **given, start=self.choice("search.start", stored.get("start", Search.start), Literal["random", "sobol"]),
            first_share=self.number("search.first_share", stored.get("first_share", Search.first_share)),
            sampler=self.choice("search.sampler", stored.get("sampler", Search.sampler), Literal["tpe"]),
        )  # fmt: skip
        if kind == "halving":
            self.check_halving(search)
        return search

    def check_halving(self, search: Search) -> None:
        if not 0.0 < search.first_share <= 1.0 / search.eta:
            raise self.error("search.first_share", f"{search.first_share:g} leaves no rung before the last one",
                             f"use a share above 0 and at most 1 / eta = {1.0 / search.eta:.4g}")  # fmt: skip
        steps = len(rung_shares(search)) - 1
        needed, asked = search.eta**steps, search.settings or 0
        if asked < needed:
            raise self.error("search.settings", f"{asked} settings, cut {steps} times to one of {search.eta}, leave "
                             "none for the last rung", f"use {needed} or more, or a larger first_share")  # fmt: skip

    def axis(self, name: str, stored: Any, kind: Kind) -> Axis:
        key = f"axes.{name}"
        if isinstance(stored, list):
            return self.listed(key, name, stored)
        if not isinstance(stored, dict):
            raise self.error(key, f"{stored!r} is neither a list of values nor a range",
                             "write [a, b, c] or {low = ..., high = ...}, or move it to [fixed]")  # fmt: skip
        self.known(f"{key}.", stored, {"low", "high", "log", "points"}, {"low", "high"})
        low, high = (self.number(f"{key}.{end}", stored[end]) for end in ("low", "high"))
        log = stored.get("log", False)
        if not isinstance(log, bool):
            raise self.error(f"{key}.log", f"{log!r} is neither true nor false", "write true or false")
        if low >= high:
            raise self.error(key, f"low {low:g} is not below high {high:g}", "give a range from low to high")
        if log and low <= 0:
            raise self.error(
                key, f"a range by ratios cannot begin at {low:g}", "use low above 0, or leave log out"
            )
        if (kind == "grid") != ("points" in stored):
            problem, fix = (("a range in a grid needs its number of points", "add for example points = 5")
                            if kind == "grid" else ("points only concern a grid", "leave it out"))  # fmt: skip
            raise self.error(f"{key}.points", problem, fix)
        points = self.whole(f"{key}.points", stored["points"], least=2) if "points" in stored else None
        return Axis(name, low=low, high=high, log=log, points=points)

    def listed(self, key: str, name: str, stored: list[Any]) -> Axis:
        values = tuple(self.value(key, value) for value in stored)
        if len(values) < 2:
            raise self.error(
                key, f"{len(values)} values are nothing to search", "give two or more, or use [fixed]"
            )
        if len({repr(value) for value in values}) < len(values):
            raise self.error(key, "a value is listed twice", "list each once")
        return Axis(name, values)

    def value(self, key: str, stored: Any) -> Value:
        if isinstance(stored, list):
            return tuple(self.value(key, item) for item in stored)
        if isinstance(stored, (bool, int, str)) or (isinstance(stored, float) and math.isfinite(stored)):
            return stored
        raise self.error(
            key, f"{stored!r} is no value of a field", 'give true, false, a finite number, "text" or a list'
        )

    def number(self, key: str, stored: Any) -> float:
        if isinstance(stored, bool) or not isinstance(stored, (int, float)) or not math.isfinite(stored):
            raise self.error(key, f"{stored!r} is no finite number", "give a number")
        return float(stored)

    def whole(self, key: str, stored: Any, least: int | None = None) -> int:
        least = _LEAST[key] if least is None else least
        if isinstance(stored, bool) or not isinstance(stored, int) or stored < least:
            raise self.error(key, f"{stored!r} is no whole number from {least} up", f"use {least} or more")
        return stored

    def choice(self, key: str, stored: Any, choices: Any) -> Any:
        if stored not in get_args(choices):
            note = " (it is called mean_reward now)" if stored == "auc" else ""
            raise self.error(
                key, f"{stored!r} is not known{note}", f"use one of {', '.join(get_args(choices))}"
            )
        return stored

    def method(self, stored: Any) -> str:
        """A method that has options; a file by its absolute path, read from the folder of the sweep's file."""
        from ialp_jax.methods.registry import get, names  # JAX, which nothing else that reads a space needs

        if not isinstance(stored, str):
            raise self.error("method", f"{stored!r} is no name", "give the name of a method")
        reference = str((self.file.parent / stored).resolve()) if stored.endswith(".py") else stored
        try:
            entry = get(reference)
        except InputError as error:
            raise self.error("method", error.problem, error.fix) from error
        if not fields(entry.options):
            raise self.error("method", f"{entry.name} has no options, so there is nothing to search",
                             f"use one of {', '.join(name for name in names() if fields(get(name).options))}")  # fmt: skip
        return reference

    def table(self, key: str, stored: Any) -> dict[str, Any]:
        if not isinstance(stored, dict):
            raise self.error(key, "this is no table", f"write [{key}] on a line of its own")
        return stored

    def known(self, prefix: str, stored: dict[str, Any], known: set[str], needed: set[str]) -> None:
        for name in stored:
            if name not in known:
                raise self.error(f"{prefix}{name}", "the key is not known", f"use {', '.join(sorted(known))}")
        for name in sorted(needed - stored.keys()):
            raise self.error(f"{prefix}{name}", "the key is missing", "add it")

    def error(self, key: str, problem: str, fix: str) -> InputError:
        return InputError(problem, fix=fix, file=self.file, column=key)
