"""The batch job: asks a judge about every candidate of every state, shard by shard; it can be resumed."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from jaxtyping import Int
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TimeRemainingColumn
from rich.text import Text

from ialp_jax.artifacts import (
    InputError,
    atomic_path,
    fingerprint,
    plain,
    read_json,
    write_json,
    write_manifest,
)
from ialp_jax.data.dataset import Dataset
from ialp_jax.preferences.candidates import CandidateConfig, choose_candidates
from ialp_jax.preferences.content_vectors import tfidf
from ialp_jax.preferences.judges.base import Judge, Judgement, JudgeRequest
from ialp_jax.preferences.prompts import item_text, state_text, template_hash
from ialp_jax.preferences.states import UserStates, documents, interactions_of, user_states
from ialp_jax.preferences.table import (
    JOB_NAME,
    KIND,
    SCHEMA,
    SHARD_PATTERN,
    PreferenceTable,
    describe,
    shard_path,
)

MANIFEST = "manifest.json"


def run_job(
    dataset: Dataset,
    judge: Judge,
    candidates: CandidateConfig,
    directory: Path,
    *,
    states_per_shard: int = 256,
    split: Literal["offline", "online"] = "offline",
    progress: bool = True,
    console: Console | None = None,
) -> PreferenceTable:
    """Judges the candidates of every user state of a split and returns the table, also left in `directory`.

    Every finished shard is kept: after an interruption the same call judges only what is missing, and ends
    with the same bytes. A directory with another job (other judge, prompts, data or candidates) is moved
    aside, with a message, and the job starts anew.

    Args:
        dataset: users and items.
        judge: who judges.
        candidates: which items each state is judged on.
        directory: where the shards go.
        states_per_shard: states judged between two writes.
        split: whose states; only offline users' states may feed pre-training.
        progress: whether to draw a progress bar with pairs/s and time left.
        console: where messages go; standard error if None.

    Raises:
        InputError: if the directory holds something that is not a job, or the judge answers out of contract.
    """
    console = Console(stderr=True) if console is None else console
    states = user_states(dataset, split)
    chosen = _candidates(dataset, states, candidates)
    job = _describe_job(dataset, judge, candidates, states, states_per_shard, split)
    _prepare(directory, job, console)
    if not (directory / MANIFEST).exists():
        requests = _Requests.of(dataset, states, chosen)
        _judge_shards(directory, judge, requests, states_per_shard, progress, console)
        judgements = int(np.sum(chosen < dataset.num_items))
        config = {key: value for key, value in job.items() if key != "users"} | {"judgements": judgements}
        write_manifest(directory, KIND, config, {"dataset": dataset.fingerprint}, job["statements"])
    return PreferenceTable.load(directory)


@dataclass(frozen=True)
class _Requests:
    """Everything the requests are made from; `items[s]` and `texts` are indexed by state and by item id."""

    states: UserStates
    items: Int[np.ndarray, "S K"]
    titles: list[str]
    texts: list[str]
    about: list[str]
    domain: str
    feedback: Literal["implicit", "explicit"]

    @classmethod
    def of(cls, dataset: Dataset, states: UserStates, items: Int[np.ndarray, "S K"]) -> "_Requests":
        titles = dataset.items["title"].to_list()
        words = zip(titles, dataset.items["text"].to_list(), strict=True)
        texts = [item_text(dataset.domain, title, text) for title, text in words]
        told = (
            dataset.users["text"].to_list() if "text" in dataset.users.columns else [""] * dataset.num_users
        )
        about = [told[user] for user in states.users]
        return cls(states, items, titles, texts, about, dataset.domain, dataset.feedback)

    def make(self, state: int) -> JudgeRequest:
        known = self.states.items[state] < len(self.texts)
        history = tuple(self.states.items[state][known].tolist())
        grades = tuple(self.states.grades[state][known].tolist())
        titles = [self.titles[item] for item in history]
        items = tuple(self.items[state][self.items[state] < len(self.texts)].tolist())
        user = state_text(self.domain, self.feedback, titles, grades, self.about[state])
        texts = tuple(self.texts[item] for item in items)
        return JudgeRequest(state, user, history, grades, items, texts)


def _candidates(dataset: Dataset, states: UserStates, config: CandidateConfig) -> Int[np.ndarray, "S K"]:
    offline = user_states(dataset).users
    _, items, _ = interactions_of(dataset, offline)
    popularity = np.bincount(items, minlength=dataset.num_items)
    return choose_candidates(states, tfidf(documents(dataset)), popularity, config)


def _describe_job(
    dataset: Dataset,
    judge: Judge,
    candidates: CandidateConfig,
    states: UserStates,
    states_per_shard: int,
    split: str,
) -> dict[str, Any]:
    """What `job.json` holds; its fingerprint decides whether shards may be kept."""
    asked = {
        "dataset": dataset.fingerprint,
        "template_hash": template_hash(dataset.domain, dataset.feedback),
        "candidates": candidates,
        "split": split,
        "states_per_shard": states_per_shard,
    }
    info = judge.info
    mix = f"{candidates.similar} similar, {candidates.popular} popular and {candidates.random} random items"
    statements = (info.statement, f"Candidates: at most {mix} for each of {states.users.size} {split} users.")
    table = describe(states.users, info, dataset.num_items, statements)
    return {"fingerprint": fingerprint(KIND, asked, table), **asked, **table}


def _prepare(directory: Path, job: dict[str, Any], console: Console) -> None:
    """Leaves `directory` with this job's `job.json` and nothing of another job."""
    path = directory / JOB_NAME
    if path.exists():
        found = read_json(path)
        if found.get("fingerprint") != job["fingerprint"]:
            aside = directory.with_name(f"{directory.name}.{found.get('fingerprint', 'unknown')}")
            shutil.rmtree(aside, ignore_errors=True)
            os.replace(directory, aside)
            console.print(f"[yellow]{directory} held another preference job ({_difference(found, job)}); "
                          f"it was moved to {aside} and the job starts anew.")  # fmt: skip
    elif directory.is_dir() and any(not name.startswith(".") for name in os.listdir(directory)):
        raise InputError("the directory holds files but no preference job", file=directory,
                         fix="name an empty or a new directory")  # fmt: skip
    for name in (JOB_NAME, SHARD_PATTERN, MANIFEST):  # half-written files of a killed process
        for leftover in directory.glob(f".{name}.*"):
            shutil.rmtree(leftover)
    if not path.exists():
        write_json(path, job)


def _difference(found: dict[str, Any], job: dict[str, Any]) -> str:
    wanted = plain(job)
    names = [
        name
        for name in wanted
        if name not in ("fingerprint", "statements") and found.get(name) != wanted[name]
    ]
    return f"other {', '.join(names)}" if names else "other layout"


def _judge_shards(
    directory: Path,
    judge: Judge,
    requests: _Requests,
    states_per_shard: int,
    progress: bool,
    console: Console,
) -> None:
    """Judges and writes every shard that is not there yet."""
    num_items = len(requests.texts)
    pairs = np.sum(requests.items < num_items, axis=1)
    speed = (_PairsPerSecond(), TimeRemainingColumn())
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), *speed)
    with Progress(*columns, console=console, disable=not progress) as bar:
        task = bar.add_task(f"judging ({judge.info.name})", total=int(pairs.sum()))
        for index, start in enumerate(range(0, pairs.size, states_per_shard)):
            states = range(start, min(start + states_per_shard, pairs.size))
            path = shard_path(directory, index)
            if not path.exists():
                asked = [requests.make(state) for state in states]
                frame = _frame(asked, judge.judge(asked), judge.info.name)
                with atomic_path(path) as temporary:
                    frame.write_parquet(temporary)
            bar.advance(task, int(pairs[states.start : states.stop].sum()))


class _PairsPerSecond(ProgressColumn):
    """Speed of the judge."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f} pairs/s")


def _frame(requests: list[JudgeRequest], judgements: list[Judgement], judge: str) -> pl.DataFrame:
    """The rows of one shard.

    Raises:
        InputError: if the judge's answers do not fit the requests or are not probabilities.
    """
    fix = f"mend the judge {judge!r}: one Judgement per request, one score in [0, 1] and one answer per item"
    if len(judgements) != len(requests):
        raise InputError(f"{len(requests)} requests got {len(judgements)} judgements", fix=fix)
    for request, judgement in zip(requests, judgements, strict=True):
        if not len(judgement.scores) == len(judgement.raw) == len(request.items):
            found = f"{len(judgement.scores)} scores and {len(judgement.raw)} raw answers"
            raise InputError(f"state {request.state}: {len(request.items)} items got {found}", fix=fix)
        if not np.all((judgement.scores >= 0) & (judgement.scores <= 1)):
            raise InputError(f"state {request.state}: a score is not in [0, 1]", fix=fix)
    return pl.DataFrame(
        {
            "state": np.repeat(
                [request.state for request in requests], [len(request.items) for request in requests]
            ),
            "item": [item for request in requests for item in request.items],
            "score": np.concatenate([judgement.scores for judgement in judgements]),
            "raw": [answer for judgement in judgements for answer in judgement.raw],
        }
    ).cast(SCHEMA)  # type: ignore[arg-type]
