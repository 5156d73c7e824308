"""Plans a job: which states, which candidates, in which words; leaves the requests where the job will run."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rich.console import Console

from ialp_jax.artifacts import InputError, plain
from ialp_jax.data.dataset import Dataset, offline_popularity
from ialp_jax.preferences.candidates import CandidateConfig, choose_candidates
from ialp_jax.preferences.content_vectors import tfidf
from ialp_jax.preferences.job.directory import difference, refuse_strangers, set_aside
from ialp_jax.preferences.job.requests import FOLDER, Requests, make_requests
from ialp_jax.preferences.prompting.prompts import ATTRIBUTES_LENGTH
from ialp_jax.preferences.states import UserStates, documents, user_states


def plan_job(
    dataset: Dataset,
    candidates: CandidateConfig,
    directory: Path,
    *,
    split: Literal["offline", "online"] = "offline",
    states: int | None = None,
    attributes_length: int = ATTRIBUTES_LENGTH,
    logs: Mapping[str, Any] | None = None,
    console: Console | None = None,
) -> Requests:
    """Chooses the candidates of a split's user states and writes the requests to `directory / "requests"`.

    The same plan may be made again at any time: what is judged stays. Another plan (other data, candidates
    or prompts) moves the old job aside, with a message.

    Args:
        dataset: users and items.
        candidates: which items each state is judged on.
        directory: the job's.
        split: whose states; only offline users' states may feed pre-training.
        states: so many users only, drawn by the candidates' seed; all if None.
        attributes_length: characters of an item's attributes that a judge reads.
        logs: where the dataset was read from (`environments.logs.Logs`), so that later steps find it again.
        console: where messages go; standard error if None.

    Raises:
        InputError: if the directory holds something that is not a job.
    """
    asked = drawn_states(user_states(dataset, split), states, candidates.seed)
    items = choose_candidates(asked, tfidf(documents(dataset)), offline_popularity(dataset), candidates)
    some = (items < dataset.num_items).any(axis=1)  # a history may hold the whole catalogue
    asked, items = UserStates(asked.users[some], asked.items[some], asked.grades[some]), items[some]
    mix = f"{candidates.similar} similar, {candidates.popular} popular and {candidates.random} random items"
    statement = f"Candidates: at most {mix} for each of {asked.users.size} {split} users."
    requests = make_requests(
        dataset, asked, items, {"shortlist": plain(candidates)}, statement,
        split=split, attributes_length=attributes_length,
    )  # fmt: skip
    requests = replace(requests, logs=plain(logs or {}))
    keep_requests(requests, directory, Console(stderr=True) if console is None else console)
    return requests


def drawn_states(states: UserStates, count: int | None, seed: int) -> UserStates:
    """`count` of the states, drawn without replacement, in their order; all if None or not that many."""
    if count is None or count >= states.users.size:
        return states
    if count < 1:
        raise InputError(f"{count} states cannot be judged", column="states", fix="give 1 or more")
    drawn = np.sort(np.random.default_rng(seed).permutation(states.users.size)[:count])
    return UserStates(states.users[drawn], states.items[drawn], states.grades[drawn])


def keep_requests(requests: Requests, directory: Path, console: Console) -> None:
    """Leaves `directory` with these requests and nothing judged for others."""
    folder = directory / FOLDER
    if folder.is_dir():
        try:
            found = Requests.load(folder)
        except InputError:
            found = None
        if found is not None and found.fingerprint() == requests.fingerprint():
            if found.titles != requests.titles:  # an earlier version planned it, and kept none
                requests.save(folder)
            return
        reason = "unreadable requests" if found is None else difference(found.source, requests.source)
        set_aside(directory, reason, console)
    else:
        refuse_strangers(directory)
    requests.save(folder)
