"""Compares shortlist policies at equal budgets of judgements per state.

    python experiments/shortlists.py [--data path/to/steam] --out shortlists

Whoever may judge only 40, 100 or 200 items per user: which ones? Every policy's judgements are completed by the
reward model, as for pre-training, and compared with the judge's full table (rank correlation, overlap of the top
5 %) and with held-out feedback (AUC), over all pairs outside the histories. That needs judges that answer any pair
for nothing. None of them is an LLM:

    content           text similarity and popularity: what two of the three kinds of candidates are chosen by
    no popularity     text similarity alone
    co-consumption    which items the users of a history's items also met (item-based collaborative filtering, fitted
                      to the other folds of offline users): neither of the two

Nothing here reads the fitted world. Without --data the users are invented. Written to OUT: numbers and a figure.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import tyro
from jaxtyping import Bool, Float, Int
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.sparse import csr_matrix
from scipy.stats import rankdata

from ialp_jax import environments
from ialp_jax.artifacts import write_json
from ialp_jax.data.dataset import Dataset
from ialp_jax.environments.logs import Logs
from ialp_jax.preferences.candidates import CandidateConfig, choose_candidates
from ialp_jax.preferences.completion.completion import complete
from ialp_jax.preferences.content_vectors import text_vectors, tfidf
from ialp_jax.preferences.job.plan import drawn_states
from ialp_jax.preferences.job.rounds import DIMENSION, RoundConfig, highest, next_candidates
from ialp_jax.preferences.judges import build_judge, judge_module
from ialp_jax.preferences.judges.base import JudgeInfo, JudgeRequest
from ialp_jax.preferences.quality.disagreement import EnsembleConfig
from ialp_jax.preferences.quality.ranking import state_auc
from ialp_jax.preferences.states import (
    UserStates,
    documents,
    interaction_matrix,
    interactions_of,
    user_states,
)
from ialp_jax.preferences.table import PreferenceTable

Scores = Float[np.ndarray, "S N"]
Pairs = Bool[np.ndarray, "S N"]
DEFAULT = "mix"
SHARES = {"similar": (1, 0, 0), "popular": (0, 1, 0), "random": (0, 0, 1), DEFAULT: (0.5, 0.3, 0.2)}
RULES = ("disagreement", "random", "highest")
MIXES = ((130, 40, 30), (67, 67, 66), (100, 0, 100), (0, 100, 100), (50, 30, 120), (20, 20, 160))
METRICS = {
    "spearman": "Spearman with the judge",
    "top": "overlap of the top 5 %",
    "auc": "AUC, held-out feedback",
}
TOP, FOLDS, RESAMPLES, SEED = 0.05, 5, 2_000, 0
COLOURS = ("#0072B2", "#E69F00", "#8A8A8A", "#000000", "#D55E00", "#56B4E9", "#009E73")


@dataclass(frozen=True)
class Settings:
    """Compares shortlist policies at equal budgets of judgements per state."""

    data: Path | None = None
    """Folder of logs; without it the users are invented."""
    env: str = "steam"
    """Environment that reads them."""
    out: Path = Path("shortlists")
    """Folder of the results."""
    budgets: tuple[int, ...] = (40, 100, 200)
    """Judgements per state; other mixes are compared at 200."""
    states: int | None = None
    """So many users only, drawn at random."""


@dataclass(frozen=True, eq=False)
class Bench:
    """What is the same for all policies: the users, the items, and what is measured where."""

    dataset: Dataset
    states: UserStates
    words: csr_matrix
    vectors: Float[np.ndarray, "N D"]
    popularity: Int[np.ndarray, " N"]
    history: Pairs
    held_out: Pairs

    @classmethod
    def of(cls, dataset: Dataset, count: int | None) -> "Bench":
        offline = user_states(dataset)
        states, texts = drawn_states(offline, count, SEED), documents(dataset)
        popularity = np.bincount(interactions_of(dataset, offline.users)[1], minlength=dataset.num_items)
        known = [interaction_matrix(dataset, states.users, part) for part in ("history", "held_out")]
        return cls(dataset, states, tfidf(texts), text_vectors(texts, DIMENSION, 0), popularity, *known)

    def table(self, truth: Scores, asked: Pairs) -> PreferenceTable:
        """The judge's answers about some pairs."""
        state, item = np.nonzero(asked)
        info = JudgeInfo("double", False, "none", "", "")
        return PreferenceTable(self.states.users, state.astype(np.int32), item.astype(np.int32), truth[asked], info,
                               self.dataset.num_items, (), self.dataset.fingerprint)  # fmt: skip

    def completed(self, truth: Scores, asked: Pairs) -> Scores:
        return complete(
            self.table(truth, asked), "model", states=self.states, item_vectors=self.vectors
        ).scores

    def marked(self, items: Int[np.ndarray, "S K"]) -> Pairs:
        """Lists of items, padded with N, as a mask."""
        marks = np.zeros((items.shape[0], self.dataset.num_items + 1), bool)
        np.put_along_axis(marks, items.astype(np.int64), True, axis=1)
        return marks[:, :-1]


def shortlist(bench: Bench, shares: tuple[float, float, float], budget: int) -> Pairs:
    """Similar, popular and random items in these shares."""
    similar, popular = round(shares[0] * budget), round(shares[1] * budget)
    config = CandidateConfig(similar, popular, budget - similar - popular)
    return bench.marked(choose_candidates(bench.states, bench.words, bench.popularity, config))


def in_rounds(bench: Bench, truth: Scores, rule: str, budget: int) -> Pairs:
    """Half the budget on the default mix, the rest in two rounds by a rule."""
    asked = shortlist(bench, SHARES[DEFAULT], budget // 2)
    for number, count in enumerate((budget // 4, budget - budget // 2 - budget // 4)):
        taken = asked | bench.history
        if rule == "disagreement":
            config = RoundConfig(per_state=count, ensemble=EnsembleConfig(seed=number))
            new = bench.marked(next_candidates(bench.table(truth, asked), bench.dataset, config))
        elif rule == "random":
            new = highest(np.random.default_rng(number).random(taken.shape), taken, count)
        else:  # where a policy trained on the table so far would go
            new = highest(bench.completed(truth, asked), taken, count)
        asked |= new
    return asked


def policies(
    bench: Bench, truth: Scores, budgets: tuple[int, ...]
) -> Iterator[tuple[str, int, Callable[[], Pairs]]]:
    """Name, budget and choice of every shortlist policy."""
    for budget in budgets:
        for name, shares in SHARES.items():
            yield name, budget, partial(shortlist, bench, shares, budget)
        for rule in RULES:
            yield f"mix, then {rule}", budget, partial(in_rounds, bench, truth, rule, budget)
    if 200 in budgets:
        for mix in MIXES:
            shares = (mix[0] / 200, mix[1] / 200, mix[2] / 200)
            yield "/".join(map(str, mix)), 200, partial(shortlist, bench, shares, 200)


def content_truth(bench: Bench, popularity_prior: bool) -> Scores:
    """All pairs by the content judge."""
    config = judge_module("content").Config(popularity_prior=popularity_prior)
    judge, every = build_judge("content", bench.dataset, config), tuple(range(bench.dataset.num_items))
    rows = []
    for state, user in enumerate(bench.states.users.tolist()):
        known = bench.states.items[state] < len(every)
        history, grades = tuple(bench.states.items[state][known]), tuple(bench.states.grades[state][known])
        request = JudgeRequest(state, user, "", history, grades, items=every, item_texts=())
        rows.append(judge.judge([request])[0].scores)
    return np.stack(rows)


def co_consumption_truth(bench: Bench) -> Scores:
    """Mean cosine of an item's and the history's items' users, counted among the other folds' offline users."""
    offline = user_states(bench.dataset).users
    met = interaction_matrix(bench.dataset, offline).astype(np.float32)
    fold, mine = np.arange(offline.size) % FOLDS, np.searchsorted(offline, bench.states.users) % FOLDS
    scores = np.zeros(bench.history.shape, np.float32)
    for number in range(FOLDS):
        others, own = met[fold != number], bench.history[mine == number].astype(np.float32)
        length = np.maximum(np.linalg.norm(others, axis=0), 1e-9)
        cosine = others.T @ others / np.outer(length, length)
        scores[mine == number] = own @ cosine / np.maximum(own.sum(axis=1, keepdims=True), 1)
    return np.clip(scores, 0, 1)


def centred_ranks(bench: Bench, scores: Scores) -> Scores:
    """Ranks among the pairs outside the history, less their mean; 0 elsewhere."""
    open_pairs = ~bench.history
    ranks = rankdata(np.where(open_pairs, scores, np.inf), axis=1)  # what is left out comes last
    return np.where(open_pairs, ranks - (open_pairs.sum(axis=1, keepdims=True) + 1) / 2, 0)


def top(bench: Bench, scores: Scores) -> Pairs:
    """The highest pairs of every state outside its history."""
    return highest(scores, bench.history, round(TOP * bench.dataset.num_items))


class Yardstick:
    """Measures scores against a judge's full table and held-out feedback, over the pairs outside the histories."""

    def __init__(self, bench: Bench, truth: Scores) -> None:
        self.bench, self.ranks, self.top = bench, centred_ranks(bench, truth), top(bench, truth)

    def measure(self, found: Scores) -> dict[str, Float[np.ndarray, " S"]]:
        """Every metric of every state."""
        ranks = centred_ranks(self.bench, found)
        norms = np.sqrt((ranks**2).sum(axis=1) * (self.ranks**2).sum(axis=1))
        return {
            "spearman": (ranks * self.ranks).sum(axis=1) / norms,
            "top": (top(self.bench, found) & self.top).sum(axis=1) / self.top.sum(axis=1),
            "auc": state_auc(found, self.bench.held_out, ~self.bench.history),
        }


def interval(values: Float[np.ndarray, " S"]) -> tuple[float, float, float]:
    """Mean over states and its 95 % percentile bootstrap interval; NaN states do not count."""
    known = values[~np.isnan(values)]
    weights = np.random.default_rng(SEED).multinomial(
        known.size, np.full(known.size, 1 / known.size), RESAMPLES
    )
    low, high = np.quantile(weights @ known / known.size, [0.025, 0.975])
    return float(known.mean()), float(low), float(high)


def compare(
    bench: Bench, truth: Scores, budgets: tuple[int, ...], label: str, console: Console
) -> list[dict[str, Any]]:
    """A row per policy, budget and metric: mean, interval, and the paired difference to the default mix."""
    chosen = list(policies(bench, truth, budgets))
    yardstick = Yardstick(bench, truth)
    measured, rows = {}, []
    for name, budget, choose in track(chosen, label, console=console, transient=True):
        asked = choose()
        per_state = asked.sum(axis=1)
        assert (per_state == budget).all(), f"{name} asked {per_state.min()}..{per_state.max()}, not {budget}"
        measured[name, budget] = int(asked.sum()), yardstick.measure(bench.completed(truth, asked))
    for (name, budget), (judgements, metrics) in measured.items():
        for metric, values in metrics.items():
            gain = interval(values - measured[DEFAULT, budget][1][metric])
            rows.append({"policy": name, "budget": budget, "judgements": judgements, "metric": metric,
                         "mean": interval(values), "over_mix": gain})  # fmt: skip
    return rows


def show(rows: list[dict[str, Any]], title: str, ceiling: float) -> Table:
    """The rows as a table; differences to the mix, with their intervals, beside the means."""
    table = Table("policy", "budget", *METRICS.values(), title=title,
                  caption=f"mean, and paired difference to the mix with 95 % interval; AUC of the judge's full table "
                          f"{ceiling:.3f}; {sum(row['judgements'] for row in rows if row['metric'] == 'auc'):,} judgements")  # fmt: skip
    for at in range(0, len(rows), len(METRICS)):
        some = rows[at : at + len(METRICS)]
        cells = [
            f"{row['mean'][0]:.3f}"
            + ("" if row["policy"] == DEFAULT else " {:+.3f} [{:+.3f}, {:+.3f}]".format(*row["over_mix"]))
            for row in some
        ]
        table.add_row(some[0]["policy"], str(some[0]["budget"]), *cells)
    return table


def draw(found: dict[str, list[dict[str, Any]]], title: str, path: Path) -> None:
    """Metric by budget, a column for each judge."""
    names = [*SHARES, *(f"mix, then {rule}" for rule in RULES)]
    with matplotlib.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(9, 7.5), layout="constrained")
        grid = figure.subplots(len(METRICS), len(found), sharex=True, sharey="row", squeeze=False)
        for column, (judge, rows) in enumerate(found.items()):
            grid[0, column].set_title(f"judge: {judge}")
            for axes, (metric, said) in zip(grid[:, column], METRICS.items(), strict=True):
                for name, colour in zip(names, COLOURS, strict=True):
                    points = [row for row in rows if row["policy"] == name and row["metric"] == metric]
                    line = "--" if name.startswith("mix,") else "-"
                    axes.plot([row["budget"] for row in points], [row["mean"][0] for row in points],
                              line, marker="o", markersize=3, color=colour, label=name)  # fmt: skip
                axes.set_xscale("log")
                budgets = sorted({row["budget"] for row in rows})
                axes.set_xticks(budgets, [str(budget) for budget in budgets])
                axes.minorticks_off()
                axes.grid(alpha=0.25)
                if not column:
                    axes.set_ylabel(said)
        for axes in grid[-1]:
            axes.set_xlabel("judgements per state")
        figure.suptitle(title)
        figure.legend(
            *grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False
        )
        figure.savefig(path, metadata={"Date": None})


def main(settings: Settings) -> None:
    """Measures all policies by all judges on one set of logs."""
    console, started = Console(width=150), time.perf_counter()
    name, environment = environments.get("synthetic" if settings.data is None else settings.env)
    bench = Bench.of(Logs(name, settings.data, environment.data).dataset(), settings.states)
    truths = {"content": content_truth(bench, True), "no popularity": content_truth(bench, False),
              "co-consumption": co_consumption_truth(bench)}  # fmt: skip
    found = {}
    for judge, truth in truths.items():
        label = f"{name} logs, judge: {judge} (not an LLM)"
        found[judge] = compare(bench, truth, settings.budgets, label, console)
        ceiling = interval(state_auc(truth, bench.held_out, ~bench.history))[0]
        console.print(show(found[judge], label, ceiling))
    settings.out.mkdir(parents=True, exist_ok=True)
    users, items = bench.history.shape
    title = f"{name} logs, {users:,} offline users x {items:,} items; no LLM judged"
    draw(found, title, settings.out / f"shortlists-{name}.svg")
    results = {"states": users, "items": items, "judges": found}
    write_json(settings.out / f"shortlists-{name}.json", results)
    console.print(f"{time.perf_counter() - started:.0f} s; results and figure: {settings.out}")


if __name__ == "__main__":
    main(tyro.cli(Settings))
