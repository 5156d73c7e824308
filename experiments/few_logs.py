"""What a preference table is worth beside logs: policies that never learn online, by how much is logged.

    python experiments/few_logs.py --env steam --data path/to/steam --out runs/few-logs
    python experiments/few_logs.py --env steam --data path/to/steam --out runs/few-logs --by items

By items: all offline users are logged, but this share of the catalogue is new, in nobody's log and no history.
By users: for every number of logged users and every split of the users into offline and online ones: the users' histories are
known to the table's judge in any case, whole logs (factors, likeness, recorded sessions, the content judge's popularity)
only of the logged ones. Recorded sessions are two for each of them. Compared are

    table planner      the table's best items, kept apart by the items' texts: no factors, no likeness of the logs
    MF planner         a factorisation of the logs, kept apart by its own distances
    iALP, table        pre-trained in the table's world, with the texts alone
    iALP, logs         pre-trained in the logs' world
    iALP, both         pre-trained with rewards from both

by the mean reward of a session with online users, the same ones for all numbers of a split. Intervals are Student's t
over splits, which also differ in who is logged. Finished runs in OUT are read, so that an interrupted experiment goes on.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np
import tyro
from jaxtyping import Float
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import track
from rich.table import Table

import ialp_jax
from ialp_jax.artifacts import InputError, read_json, write_json
from ialp_jax.evaluation.statistics import mean_interval

SESSIONS_PER_USER = 2
AXES = {
    "users": "offline users whose logs are read",
    "items": "share of the catalogue that nobody has logged",
}
TEXTS = {"policy.item_start": "text", "likeness.source": "text"}
LOGS = {"policy.item_start": "factors", "likeness.source": "logs"}


@dataclass(frozen=True)
class Settings:
    """What a preference table is worth beside the logs of few users."""

    env: str = "steam"
    """Environment."""
    data: Path | None = None
    """Folder of its logs; without it the users are invented."""
    out: Path = Path("runs/few-logs")
    """Folder of the results."""
    by: Literal["users", "items"] = "users"
    """What is varied: how many users are logged, or how much of the catalogue is new."""
    logged: tuple[int, ...] = (10, 30, 100, 300, 1000)
    """By users: numbers of offline users whose logs are read."""
    new_items: tuple[float, ...] = (0.0, 0.5, 0.8, 0.95)
    """By items: shares of the catalogue that nobody has logged."""
    splits: int = 4
    """Splits of the users, at least two."""
    text_percentile: float = 5.0
    """Items' texts nearer than this percentile are kept apart, where the texts say it; to be chosen on offline users."""

    @property
    def points(self) -> tuple[float, ...]:
        """What is varied, in order."""
        return self.logged if self.by == "users" else self.new_items

    def at(self, point: float) -> tuple[str, str, dict[str, Any]]:
        """Of one of them: the start of its folders' names, its words, and what it changes in a study."""
        if self.by == "items":
            return f"new-{point:g}", f"{point:.0%} new", {"data.new_items": point}
        logs = {"data.logged_users": int(point), "logged.sessions": SESSIONS_PER_USER * int(point)}
        return f"{point:g}", f"{point:,} logs", logs


@dataclass(frozen=True)
class Arm:
    """Methods that share a study, with the names they have here."""

    methods: dict[str, str]
    changes: dict[str, Any]


def arms(settings: Settings) -> dict[str, Arm]:
    """The studies of every point, by name of their folder."""
    texts = TEXTS | {"likeness.percentile": settings.text_percentile, "methods.ialp.world": "table"}
    return {
        f"table-{settings.text_percentile:g}": Arm(
            {"table_planner": "table planner", "ialp": "iALP, table"}, texts
        ),
        "logs": Arm(
            {"mf_planner": "MF planner", "ialp": "iALP, logs"}, LOGS | {"methods.ialp.world": "logs"}
        ),
        "both": Arm({"ialp": "iALP, both"}, LOGS | {"methods.ialp.world": "mixed"}),
    }


def runs(settings: Settings) -> Iterator[tuple[int, float, str, Arm]]:
    """Split, point, folder and arm of every study."""
    for split in range(settings.splits):
        for point in settings.points:
            for name, arm in arms(settings).items():
                yield split, point, name, arm


def rewards(settings: Settings, split: int, point: float, name: str, arm: Arm) -> dict[str, float]:
    """Mean reward of a session of every method of an arm; trained unless its results lie there."""
    start, _, logs = settings.at(point)
    out = settings.out / settings.env / f"split-{split}" / f"{start}-{name}"
    if not (out / "summary.json").exists():
        changes = {"seeds": 1, "data.seed": split, **logs, **arm.changes}
        ialp_jax.train(
            settings.env, out=out, data=settings.data, methods=tuple(arm.methods), quiet=True, **changes
        )
    summary = read_json(out / "summary.json")
    return {label: summary["methods"][method]["mean_reward"]["mean"] for method, label in arm.methods.items()}


def show(rewards_of: dict[str, Float[np.ndarray, "R K"]], settings: Settings) -> Table:
    """Mean rewards with their intervals, and the gain of both worlds over the logs' alone."""
    table = Table(
        "policy",
        *(settings.at(point)[1] for point in settings.points),
        title=f"{settings.env}: reward per session",
    )
    gain = {"iALP, both - logs": rewards_of["iALP, both"] - rewards_of["iALP, logs"],
            "iALP, both - MF planner": rewards_of["iALP, both"] - rewards_of["MF planner"]}  # fmt: skip
    for label, values in (rewards_of | gain).items():
        table.add_row(
            label, *("{:.2f} [{:.2f}, {:.2f}]".format(*mean_interval(column)) for column in values.T)
        )
    return table


def draw(rewards_of: dict[str, Float[np.ndarray, "R K"]], settings: Settings, path: Path) -> None:
    """Reward by what is varied, with intervals over splits."""
    with matplotlib.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(6.5, 4), layout="constrained")
        axes = figure.subplots()
        for label, values in rewards_of.items():
            mean, low, high = (np.array(part) for part in zip(*map(mean_interval, values.T), strict=True))
            (line,) = axes.plot(
                settings.points,
                mean,
                "--" if "planner" in label else "-",
                marker="o",
                markersize=3,
                label=label,
            )
            axes.fill_between(settings.points, low, high, color=line.get_color(), alpha=0.12, linewidth=0)
        if settings.by == "users":
            axes.set_xscale("log")
        axes.set_xticks(settings.points, [settings.at(point)[1].split()[0] for point in settings.points])
        axes.minorticks_off()
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.25)
        axes.set_xlabel(AXES[settings.by])
        axes.set_ylabel("reward per session, frozen")
        axes.set_title(f"{settings.env}: no LLM judged; {settings.splits} splits, 95 % intervals")
        axes.legend(frameon=False)
        figure.savefig(path, metadata={"Date": None})


def main(settings: Settings) -> None:
    """Runs what is missing, and shows everything."""
    if settings.splits < 2:
        raise InputError(f"{settings.splits} splits have no interval", column="--splits", fix="use 2 or more")
    console = Console(width=150)
    measured: dict[str, Float[np.ndarray, "R K"]] = {}
    for split, point, name, arm in track(list(runs(settings)), settings.env, console=console):
        for label, reward in rewards(settings, split, point, name, arm).items():
            values = measured.setdefault(label, np.full((settings.splits, len(settings.points)), np.nan))
            values[split, settings.points.index(point)] = reward
    console.print(show(measured, settings))
    write_json(
        settings.out / f"{settings.env}-{settings.by}.json", {"points": settings.points, "rewards": measured}
    )
    draw(measured, settings, settings.out / f"few-logs-{settings.env}-{settings.by}.svg")
    console.print(f"results and figure: {settings.out}")


if __name__ == "__main__":
    main(tyro.cli(Settings))
