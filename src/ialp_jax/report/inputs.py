"""The files of a run, read and checked once; what is missing but not needed becomes a note for the reader."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ialp_jax.artifacts import InputError, read_arrays, read_json
from ialp_jax.divergence import Divergence, Record
from ialp_jax.report.cards import Card, read_card
from ialp_jax.report.health import StageHealth, read_health
from ialp_jax.report.phases import UNRECORDED, Phases
from ialp_jax.sealed import require_intact

SESSION_CURVES = ("sessions", "reward", "length")
RENAMED = {"auc": "mean_reward"}
"""Metrics of files that earlier versions wrote, by the names they had."""
RUN_AGAIN = "finish the run, or run it again"
KIND = "study"
"""Of the manifest of a finished run's results."""
READ = ("config.json", "world.json", "preferences.json", "results.json", "curves.npz")
WRITTEN = ("summary.json", "report.html")
MEND = "put back a copy of it, or run it again (with --resume what was trained is kept)"


@dataclass(frozen=True)
class RunFiles:
    """What a run wrote.

    Attributes:
        world: `world.json`: what the simulated users are.
        preferences: `preferences.json`; {"unused": True} where no method rests on a table, empty where the run has none.
        config: `config.json`, the resolved configuration; empty where missing.
        seeds: number of paired seeds R.
        budget: `results.json`'s budget.
        results: method -> `online_steps`, `judgements`, `llm_calls`, `departures`, as in `results.json`.
        cards: method -> what a report says of it.
        per_seed: method -> metric -> [R]; NaN where the run had no value.
        diverged: method -> what is said of the seeds that diverged; methods without any are left out.
        bins: [K+1] edges in online simulator steps; None where there are no curves.
        curves: "METHOD/sessions", "/reward", "/length" and what the method's card names -> [R, K].
        notes: sentences about what is missing.
        phases: shares of the online sessions that "initial" and "final" are of.
        health: what was watched of every stage that learnt.
    """

    world: dict[str, Any]
    preferences: dict[str, Any]
    config: dict[str, Any]
    seeds: int
    budget: dict[str, Any]
    results: dict[str, dict[str, Any]]
    cards: dict[str, Card]
    per_seed: dict[str, dict[str, Float[np.ndarray, " R"]]]
    diverged: dict[str, list[Record]]
    bins: Float[np.ndarray, " K+1"] | None
    curves: dict[str, Float[np.ndarray, "R K"]]
    notes: tuple[str, ...]
    phases: Phases
    health: tuple[StageHealth, ...] = ()


def read_run(out: Path) -> RunFiles:
    """Reads a run's directory.

    Raises:
        InputError: if `results.json` or `world.json` is missing, or any file is malformed or was altered since the run ended.
    """
    require_intact(out, KIND, READ, MEND)
    world = _object(out / "world.json", needed=("env", "source"))
    results_path = out / "results.json"
    results, seeds = _results(results_path)
    budget, methods = results["budget"], results["methods"]
    per_seed = {name: _per_seed(results_path, name, method, seeds) for name, method in methods.items()}
    cards = {
        name: read_card(method.get("card"), name, results_path, f"methods.{name}.card")
        for name, method in methods.items()
    }
    notes = []
    preferences, config = {}, {}
    if (out / "preferences.json").exists():
        preferences = _object(out / "preferences.json", needed=())
    elif not any(method.get("judgements", True) for method in methods.values()):
        preferences = {"unused": True}
    else:
        notes.append("There is no preferences.json: what the preference table was is not known here.")
    if (out / "config.json").exists():
        config = _object(out / "config.json", needed=())
    else:
        notes.append("There is no config.json: the configuration is not shown.")
    bins: np.ndarray | None = None
    curves: dict[str, np.ndarray] = {}
    if (out / "curves.npz").exists():
        bins, curves = _curves(out / "curves.npz", seeds, cards)
    else:
        notes.append("There is no curves.npz: no learning curve is drawn.")
    diverged = {name: _diverged(results_path, name, method["diverged"]) for name, method in methods.items()
                if method.get("diverged")}  # fmt: skip
    notes += [*_strangers(methods), *_gaps(per_seed, config, set(diverged))]
    return RunFiles(
        world, preferences, config, seeds, budget, methods, cards, per_seed, diverged, bins, curves, tuple(notes),
        read_phases(results_path, results), read_health(results_path, methods, cards, seeds),
    )  # fmt: skip


def _results(path: Path) -> tuple[dict[str, Any], int]:
    """The content of `results.json` and its number of seeds R."""
    results = _object(path, needed=("budget", "methods"))
    budget, methods = results["budget"], results["methods"]
    if not isinstance(budget, dict) or not isinstance(methods, dict) or not methods:
        raise InputError("budget and methods must be objects, methods not empty", file=path, fix=RUN_AGAIN)
    seeds = budget.get("seeds")
    if not isinstance(seeds, int) or seeds < 1:
        raise InputError(f"not a number of seeds: {seeds!r}", file=path, column="budget.seeds", fix=RUN_AGAIN)
    return results, seeds


def read_phases(path: Path, stored: dict[str, Any]) -> Phases:
    """Which sessions "initial" and "final" are of, as a file has it; `InputError` if it is malformed."""
    phases = stored.get("phases", UNRECORDED)
    shares = [phases.get(name) for name in UNRECORDED] if isinstance(phases, dict) else [None]
    if not all(isinstance(share, float) and 0 < share <= 1 for share in shares):
        raise InputError(f"expected shares above 0 and at most 1 of initial and final, found {phases!r}", file=path,
                         column="phases", fix=RUN_AGAIN)  # fmt: skip
    return phases


def _object(path: Path, needed: tuple[str, ...]) -> dict[str, Any]:
    value = read_json(path)
    if not isinstance(value, dict):
        raise InputError(f"expected a JSON object, found {type(value).__name__}", file=path, fix=RUN_AGAIN)
    for field in needed:
        if field not in value:
            raise InputError("the field is missing", file=path, column=field, fix=RUN_AGAIN)
    return value


def _per_seed(path: Path, name: str, method: Any, seeds: int) -> dict[str, np.ndarray]:
    values = method.get("per_seed") if isinstance(method, dict) else None
    if not isinstance(values, dict):
        raise InputError(
            "expected an object of metrics", file=path, column=f"methods.{name}.per_seed", fix=RUN_AGAIN
        )
    numbers: dict[str, np.ndarray] = {}
    for stored, column in values.items():
        metric = RENAMED.get(str(stored), str(stored))
        try:
            numbers[metric] = np.asarray(column, dtype=float)
        except (TypeError, ValueError):
            numbers[metric] = np.empty(0)
        if numbers[metric].shape != (seeds,):
            raise InputError(f"expected {seeds} numbers, one per seed, found {column!r}", file=path,
                             column=f"methods.{name}.per_seed.{stored}", fix=RUN_AGAIN)  # fmt: skip
    return numbers


def _diverged(path: Path, name: str, stored: Any) -> list[Record]:
    """What is said of the seeds of a method that diverged."""
    try:
        return [{"seed": int(one["seed"]), **Divergence.of_record(one).record()} for one in stored]
    except (KeyError, TypeError, ValueError):
        raise InputError("expected a list of seeds that diverged, with stage, update, updates and leaves", file=path,
                         column=f"methods.{name}.diverged", fix=RUN_AGAIN) from None  # fmt: skip


def _curves(path: Path, seeds: int, cards: dict[str, Card]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    arrays = read_arrays(path)
    bins = arrays.pop("bins", np.empty(0))
    if bins.ndim != 1 or bins.size < 2 or not (np.diff(bins) > 0).all():
        raise InputError("expected at least two increasing edges", file=path, column="bins", fix=RUN_AGAIN)
    read = {f"{name}/{kind}" for name, card in cards.items() for kind in (*SESSION_CURVES, *card["curves"])}
    curves = {name: array for name, array in arrays.items() if name in read}
    for name, array in curves.items():
        if array.shape != (seeds, bins.size - 1):
            raise InputError(f"expected shape {(seeds, bins.size - 1)} [seeds, bins], found {array.shape}",
                             file=path, column=name, fix=RUN_AGAIN)  # fmt: skip
    return bins, curves


def _strangers(methods: dict[str, Any]) -> list[str]:
    """A sentence about the methods that have no card."""
    strangers = [name for name, method in methods.items() if method.get("card") is None]
    if not strangers:
        return []
    which = "any method" if len(strangers) == len(methods) else ", ".join(strangers)
    return [
        f"results.json has no card of {which}: what it is and what it is compared with is not known here."
    ]


def _gaps(
    per_seed: dict[str, dict[str, np.ndarray]], config: dict[str, Any], diverged: set[str]
) -> list[str]:
    """Sentences about absent values, and about absent methods among those that the configuration names.

    Of methods that diverged the page says more.
    """
    notes = []
    asked = config.get("methods") or config.get("study", {}).get(
        "methods", ()
    )  # by name; earlier runs: as it was given
    absent = [name for name in asked if name not in per_seed]
    if absent:
        notes.append(f"This run is partial: no results for {', '.join(absent)}.")
    for name, metrics in per_seed.items():
        broken = [metric for metric, values in metrics.items() if not np.isfinite(values).all()]
        if broken and name not in diverged:
            notes.append(f"{name} has no finite value for every seed in: {', '.join(broken)}; left blank.")
    return notes
