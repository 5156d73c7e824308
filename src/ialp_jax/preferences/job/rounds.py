"""Active rounds: which pairs a judge is asked about next, given a finished table.

Of every state, the unjudged pairs of the highest score are asked about: the disagreement of an ensemble of reward
models (`disagreement`), or the probability with which a saved policy recommends the item.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int
from rich.console import Console

from ialp_jax.artifacts import InputError, fingerprint, plain, read_json, read_manifest
from ialp_jax.data.dataset import Dataset
from ialp_jax.preferences.content_vectors import text_vectors
from ialp_jax.preferences.job.plan import keep_requests
from ialp_jax.preferences.job.requests import Requests, make_requests
from ialp_jax.preferences.quality.disagreement import EnsembleConfig, disagreement
from ialp_jax.preferences.states import UserStates, documents, interaction_matrix, of_users, user_states
from ialp_jax.preferences.table import JOB_NAME, KIND, PreferenceTable, read_pairs
from ialp_jax.ranges import Count
from ialp_jax.values import checked

DIMENSION = 32
"""Of the items' content vectors; a study's default."""
STATES_AT_ONCE = 1024  # bounds the policy's states x items block on the device
Split = Literal["offline", "online"]


@dataclass(frozen=True)
@checked
class RoundConfig:
    """What a round asks.

    Attributes:
        by: the rule, "disagreement" or "policy".
        per_state: judgements that each state gets.
        budget: of judgements, of the table and this round together, rejected ones included. Where it cannot
            pay `per_state` for all, the pairs of the highest scores get what is left. None: no limit.
        policy: folder of the saved policy; with the rule "policy" only.
        ensemble: of the rule "disagreement".
    """

    by: Literal["disagreement", "policy"] = "disagreement"
    per_state: Count = 40
    budget: Count | None = None
    policy: Path | None = None
    ensemble: EnsembleConfig = EnsembleConfig()

    def __post_init__(self) -> None:
        if (self.by == "policy") != (self.policy is not None):
            told = "no policy is named" if self.policy is None else "a policy is named, and not asked"
            raise InputError(f"{told} (rule {self.by!r})", column="policy",
                             fix="give --by policy and --policy DIR together, or neither")  # fmt: skip

    def settings(self) -> dict[str, Any]:
        """What decides the round's pairs beside the table, as plain values; a policy by its files' content."""
        said: dict[str, Any] = {"rule": self.by, "per_state": self.per_state, "budget": self.budget}
        if self.policy is None:
            return said | {"ensemble": asdict(self.ensemble)}
        return said | {"policy": fingerprint(read_manifest(self.policy, "policy").files)}


def next_candidates(
    table: PreferenceTable,
    dataset: Dataset,
    config: RoundConfig,
    *,
    excluded: Bool[np.ndarray, "S N"] | None = None,
) -> Int[np.ndarray, "S K"]:
    """The next candidates of every state: ascending, padded with id N; never judged before nor from the history.

    Args:
        table: the judgements so far.
        dataset: the logs it was planned with.
        config: the rule and the budget.
        excluded: pairs not to be asked about beside these, such as those that were rejected.

    Raises:
        InputError: if the table is about other logs, the policy about other items, the budget is spent, or
            nothing is left to ask.
    """
    left = _left(table, config)
    states = _states_of(table, dataset)[1]
    taken = table.dense()[1] | interaction_matrix(dataset, table.users, "history")
    if excluded is not None:
        taken = taken | excluded
    if config.policy is None:
        score = disagreement(table, states, text_vectors(documents(dataset), DIMENSION, 0), config.ensemble)
    else:
        score = _recommended(config.policy, states, dataset)
    chosen = highest(score, taken, config.per_state)
    if not chosen.any():
        raise InputError("every item of every state was judged already", fix="use the table as it is")
    if left is not None:
        chosen = _within(chosen, score, left)
    ids = np.sort(np.where(chosen, np.arange(table.num_items), table.num_items), axis=1)
    return ids[:, : min(config.per_state, table.num_items)].astype(np.int32)


def plan_round(
    table_directory: Path,
    dataset: Dataset,
    out: Path,
    config: RoundConfig,
    *,
    logs: Mapping[str, Any] | None = None,
    console: Console | None = None,
) -> Requests:
    """Writes the requests of a round to `out / "requests"`; judged, they merge with the table.

    Only states with something to ask are in them. The same call gives the same requests, and what is judged
    stays; a table or rule that has changed makes another job, and the old one is moved aside.

    Args:
        table_directory: a finished table, judged or merged.
        dataset: the logs it was planned with.
        out: the round's own directory.
        config: the rule and the budget.
        logs: where the dataset was read from (`environments.logs.Logs`).
        console: where messages go; standard error if None.

    Raises:
        InputError: as `next_candidates`, or if `out` is the table's or something else's directory.
    """
    if out.resolve() == table_directory.resolve():
        raise InputError("the round would overwrite its table", file=out, column="out",
                         fix="name a new folder")  # fmt: skip
    table, manifest = PreferenceTable.load(table_directory), read_manifest(table_directory, KIND)
    split, states = _states_of(table, dataset)
    items = next_candidates(table, dataset, config, excluded=_asked(table_directory, table))
    some = (items < table.num_items).any(axis=1)
    asked = UserStates(states.users[some], states.items[some], states.grades[some])
    chosen = {
        "round": {"table": manifest.fingerprint, "answers": fingerprint(manifest.files), **config.settings()}
    }
    pairs = int((items < table.num_items).sum())
    statement = _statement(table, config, split, int(some.sum()), pairs)
    requests = make_requests(
        dataset, asked, items[some], plain(chosen), statement,
        split=split, attributes_length=_attributes_length(table_directory),
    )  # fmt: skip
    requests = replace(requests, logs=plain(logs or {}))
    keep_requests(requests, out, Console(stderr=True) if console is None else console)
    return requests


def _recommended(directory: Path, states: UserStates, dataset: Dataset) -> Float[np.ndarray, "S N"]:
    """Log-probability that the policy recommends each item; -inf for a history's own."""
    # Imported here: this room is host only unless a policy has to be asked.
    from ialp_jax.policies.artifact import load_policy

    policy = load_policy(directory)
    if policy.items["raw_id"].to_list() != dataset.items["raw_id"].to_list():
        raise InputError("the policy recommends from another catalogue than the table's", file=directory,
                         fix="name a policy trained on the same logs with the same --data.*")  # fmt: skip
    read = policy.history_length
    left = ((0, 0), (max(0, read - states.items.shape[1]), 0))
    items = np.pad(states.items, left, constant_values=dataset.num_items)[:, -read:]
    grades = np.pad(states.grades, left)[:, -read:]
    blocks = [slice(at, at + STATES_AT_ONCE) for at in range(0, states.users.size, STATES_AT_ONCE)]
    return np.concatenate([policy.log_probabilities(items[b], grades[b], states.items[b]) for b in blocks])


def highest(
    score: Float[np.ndarray, "S N"], taken: Bool[np.ndarray, "S N"], count: int
) -> Bool[np.ndarray, "S N"]:
    """Marks the `count` highest of each row that are not taken (or all there are); ties by item id."""
    free = np.where(taken, -np.inf, score)
    order = np.argsort(-free, axis=1, kind="stable")[:, :count]
    chosen = np.zeros(taken.shape, bool)
    np.put_along_axis(chosen, order, True, axis=1)
    return chosen & np.isfinite(free)


def _within(
    chosen: Bool[np.ndarray, "S N"], score: Float[np.ndarray, "S N"], most: int
) -> Bool[np.ndarray, "S N"]:
    """Keeps the `most` highest of all marked pairs; ties by state, then by item id."""
    state, item = np.nonzero(chosen)
    kept = np.argsort(-score[state, item], kind="stable")[:most]
    within = np.zeros(chosen.shape, bool)
    within[state[kept], item[kept]] = True
    return within


def _left(table: PreferenceTable, config: RoundConfig) -> int | None:
    """Judgements that the budget still pays."""
    if config.budget is None:
        return None
    spent = table.num_judgements + table.rejected
    if spent >= config.budget:
        raise InputError(f"the table holds {spent:,} judgements already, so that of the budget of {config.budget:,} "
                         "nothing is left", column="budget", fix="raise the budget, or use the table as it is")  # fmt: skip
    return config.budget - spent


def _states_of(table: PreferenceTable, dataset: Dataset) -> tuple[Split, UserStates]:
    """Whose states the table is about, and these."""
    if table.dataset != dataset.fingerprint:
        raise InputError(f"the table is about other logs ({table.dataset}) than these ({dataset.fingerprint})",
                         fix="read the logs that the table was planned with")  # fmt: skip
    kinds = dataset.users.filter(pl.col("user").is_in(table.users.tolist()))["split"].unique().to_list()
    if len(kinds) != 1:
        raise InputError("the table is about users of both splits", fix="extend a table of one split")
    return kinds[0], of_users(user_states(dataset, kinds[0]), table.users)


def _asked(directory: Path, table: PreferenceTable) -> Bool[np.ndarray, "S N"]:
    """Every pair that was asked about, rejected ones too: they would be rejected again."""
    pairs = read_pairs(directory, read_json(directory / JOB_NAME))
    asked = np.zeros((table.num_states, table.num_items), bool)
    asked[pairs["state"].to_numpy(), pairs["item"].to_numpy()] = True
    return asked


def _attributes_length(directory: Path) -> int:
    """How much of an item's attributes the table's judge read; a round must be told as much."""
    job = read_json(directory / JOB_NAME)
    if "attributes_length" not in job:
        raise InputError("it does not say in which words its pairs were asked about", file=directory / JOB_NAME,
                         fix="extend a table that `ialp prefs judge` or `ialp prefs merge` wrote")  # fmt: skip
    return int(job["attributes_length"])


def _statement(table: PreferenceTable, config: RoundConfig, split: Split, states: int, pairs: int) -> str:
    if config.policy is None:
        why = f"{config.ensemble.members} bootstrapped reward models disagree on them most"
        if config.ensemble.mean_weight:
            why += f", plus {config.ensemble.mean_weight:g} times their mean"
    else:
        why = f"the policy {config.policy} would recommend them"
    return (f"Candidates of a further round: {pairs:,} items, at most {config.per_state} for each of {states:,} "
            f"{split} users, asked about because {why}; chosen from {table.num_judgements:,} judgements.")  # fmt: skip
