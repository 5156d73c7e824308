"""From logs to two worlds: the users', and the LLM's imagined users'."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import polars as pl
from jaxtyping import Float
from rich.console import Console

from ialp_jax.artifacts import InputError
from ialp_jax.data.dataset import Dataset, histories
from ialp_jax.preferences.completion.completion import CompletedPreferences, LabelRule, complete, labels
from ialp_jax.preferences.completion.transfer import transfer_scores
from ialp_jax.preferences.content_vectors import text_vectors, tfidf
from ialp_jax.preferences.quality.ranking import state_auc
from ialp_jax.preferences.states import UserStates, documents, of_users, user_states
from ialp_jax.preferences.table import PreferenceTable
from ialp_jax.study.config import StudyConfig
from ialp_jax.study.table import FinishedTable, content_table, judge_record
from ialp_jax.worlds.departure import REASONS
from ialp_jax.worlds.fit.fit import fit_world
from ialp_jax.worlds.fit.points import sampled_distances
from ialp_jax.worlds.fit.report import TOP_PERCENTILE, FitReport, affinity_rows
from ialp_jax.worlds.near import tabulate_near
from ialp_jax.worlds.preference_world import preference_world
from ialp_jax.worlds.world import World


@dataclass(frozen=True)
class Prepared:
    """What every method of a study starts from.

    Attributes:
        dataset: the logs.
        world: the users' world; only its simulator may be met by a policy that trains.
        fit: how well it fits.
        table: the judgements.
        completed: a score for every judged state and item.
        llm_world: the preference table as a world.
        text_vectors: what the items' texts say; how alike items are in the LLM's world.
        table_scores: what the table says about every user of the dataset (judged or by transfer).
        popularity: interactions of each item in the offline users' logs.
        finished: the table as it was found, where it was made beforehand.
    """

    dataset: Dataset
    world: World
    fit: FitReport
    table: PreferenceTable
    completed: CompletedPreferences
    llm_world: World
    text_vectors: Float[np.ndarray, "N e"]
    table_scores: Float[np.ndarray, "U N"]
    popularity: Float[np.ndarray, "N"]
    finished: FinishedTable | None = None


def prepare(
    dataset: Dataset, config: StudyConfig, out: Path, console: Console, finished: FinishedTable | None = None
) -> Prepared:
    """Fits the users, asks the content judge unless there is a finished table, and builds both worlds.

    Leaves its files in `out`.
    """
    _keep_dataset(dataset, out / "dataset")
    with console.status("fitting the users' world"):
        world, fit = fit_world(dataset, config.fit, config.data.history_length)
    _check_room(world, config)
    _print_fit(fit, console)
    table = (
        content_table(dataset, config.preferences, out / "preferences", console)
        if finished is None
        else finished.table
    )
    if config.preferences.shuffle:
        table = table.shuffled(config.preferences.candidates.seed)
    with console.status("completing the preference table"):
        vectors = text_vectors(documents(dataset), config.policy.embedding, config.fit.seed)
        completed, llm_world, scores = _imagine(dataset, table, world, vectors, config)
    return Prepared(
        dataset, tabulate_near(world), fit, table, completed, tabulate_near(llm_world), vectors, scores,
        offline_popularity(dataset), finished,
    )  # fmt: skip


def offline_popularity(dataset: Dataset) -> Float[np.ndarray, "N"]:
    """Interactions of each item in the offline users' logs."""
    offline = dataset.users.filter(pl.col("split") == "offline")["user"]
    seen = dataset.interactions.filter(pl.col("user").is_in(offline.implode()))
    return np.bincount(seen["item"].to_numpy(), minlength=dataset.num_items).astype(np.float32)


def offline_users(dataset: Dataset) -> int:
    """How many users may be known before deployment."""
    return int((dataset.users["split"] == "offline").sum())


def world_summary(name: str, prepared: Prepared, config: StudyConfig) -> dict[str, Any]:
    """What a report says of the users' world."""
    dataset, fit = prepared.dataset, prepared.fit
    return {
        "env": name,
        "source": dataset.source,
        "users": dataset.num_users,
        "items": dataset.num_items,
        "interactions": dataset.num_interactions,
        "statements": [*dataset.statements, *fit.statements],
        "fit": {
            "heldout": fit.held_out,
            "held_out_interactions": fit.held_out_interactions,
            "item_mean_share": fit.item_mean_share,
            "item_mean_auc": fit.item_mean_auc,
            "popularity_auc": fit.popularity_auc,
            "popularity_personal_auc": fit.popularity_personal_auc,
            "popularity_weight": fit.popularity_weight,
            "rank": config.fit.rank,
        },
        "departure": {
            "rules": config.simulator.rules,
            "distance_threshold": fit.distance_threshold,
            "distance_percentile": fit.distance_percentile,
            "window": config.simulator.window,
            "turn_cap": config.simulator.turn_cap,
            "reasons": REASONS[1:],
        },
        "reward": {
            "low": float(prepared.world.rating_low),
            "high": float(prepared.world.rating_high),
            "statement": "Rewards are ratings summed over a session; policies train on rating / highest rating.",
        },
    }


def preference_summary(prepared: Prepared) -> dict[str, Any]:
    """What a report says of the preference table, and how well it ranks what offline users truly like."""
    table, completed = prepared.table, prepared.completed
    affinities = affinity_rows(prepared.world, table.users)
    personal = affinities - affinities.mean(axis=0)
    popularity = np.broadcast_to(prepared.popularity, affinities.shape)
    finished = prepared.finished
    return {
        **judge_record(table),
        "offline_users": offline_users(prepared.dataset),
        "table": None if finished is None else finished.record(),
        "quality": None if finished is None else finished.quality,
        "gate": None if finished is None else finished.gate(),
        "statements": list(completed.statements),
        "completion": {
            "option": completed.option,
            "heldout": {key: value for key, value in completed.report.items() if key != "config"},
        },
        "auc_vs_world": _auc(completed.scores, affinities),
        "auc_vs_world_personal": _auc(completed.scores, personal),
        "auc_vs_world_popularity": _auc(popularity, affinities),
        "auc_vs_world_popularity_personal": _auc(popularity, personal),
    }


def _auc(scores: Float[np.ndarray, "S N"], affinities: Float[np.ndarray, "S N"]) -> float:
    """Mean over states of the AUC against each one's own top 10 % of the catalogue."""
    top = affinities >= np.percentile(affinities, TOP_PERCENTILE, axis=1, keepdims=True)
    return float(np.nanmean(state_auc(scores, top, np.ones_like(top))))


def _keep_dataset(dataset: Dataset, directory: Path) -> None:
    """Writes the dataset unless the same one lies there already."""
    if directory.exists() and _stored_fingerprint(directory) == dataset.fingerprint:
        return
    dataset.save(directory)


def _stored_fingerprint(directory: Path) -> str | None:
    try:
        return Dataset.load(directory).fingerprint
    except InputError:
        return None


def _check_room(world: World, config: StudyConfig) -> None:
    """Where repeats are masked, the longest session must leave something to recommend."""
    needed = world.initial_items.shape[1] + config.simulator.turn_cap
    if config.simulator.repeats == "masked" and world.num_items <= needed:
        raise InputError(
            f"a catalogue of {world.num_items} items cannot fill {config.simulator.turn_cap} turns without repeats "
            f"after a history of {world.initial_items.shape[1]}",
            column="simulator.turn_cap", fix="lower the turn cap, or set simulator.repeats to allowed",
        )  # fmt: skip


def _print_fit(fit: FitReport, console: Console) -> None:
    rows = ", ".join(f"{name} {accuracy.auc:.3f}" for name, accuracy in fit.held_out.items())
    console.print(
        f"users' world: held-out AUC {rows}; item means explain {fit.item_mean_share:.0%} of the ratings"
    )


def _imagine(
    dataset: Dataset,
    table: PreferenceTable,
    world: World,
    vectors: Float[np.ndarray, "N e"],
    config: StudyConfig,
) -> tuple[CompletedPreferences, World, Float[np.ndarray, "U N"]]:
    """Completes the table, makes it a world, and carries it over to users it does not know."""
    chosen = config.preferences
    states = of_users(user_states(dataset), table.users)
    completed = complete(table, chosen.unjudged, states=states, item_vectors=vectors)
    rewards = labels(completed, LabelRule(chosen.reward, chosen.fraction, chosen.threshold))
    items, feedback, _ = histories(dataset, config.data.history_length)
    distances = sampled_distances(vectors, config.fit.seed)
    threshold = float(np.percentile(distances, chosen.distance_percentile))
    departure = dataclasses.replace(
        world.departure,
        distance_threshold=jnp.float32(threshold),
        # Preferences lie in [0, 1]; a floor on the users' raw scale would make every imagined user leave at once.
        rating_floor=world.feedback(world.departure.rating_floor),
    )
    imagined = preference_world(
        rewards, items[table.users], feedback[table.users], vectors, np.asarray(world.item_categories), departure,
        completed.judged if completed.option == "candidates" else None,
    )  # fmt: skip
    return completed, imagined, _scores_of_all(dataset, completed.scores, states, chosen.neighbours)


def _scores_of_all(
    dataset: Dataset, scores: Float[np.ndarray, "S N"], judged: UserStates, neighbours: int
) -> Float[np.ndarray, "U N"]:
    """What the table says about every user: those it has no row for read their nearest judged neighbours'."""
    known, vectors = np.zeros((dataset.num_users, dataset.num_items), np.float32), tfidf(documents(dataset))
    known[judged.users] = scores
    offline = user_states(dataset)
    unjudged = of_users(offline, np.setdiff1d(offline.users, judged.users))
    for new in (unjudged, user_states(dataset, "online")):
        if new.users.size:
            known[new.users] = transfer_scores(scores, judged, new, vectors, neighbours)
    return known
