"""Figures of how the search went: rungs of halving, the best so far of an adaptive search; and importance."""

import numpy as np
import polars as pl
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ialp_jax.evaluation.statistics import interquartile_mean
from ialp_jax.report.figures import legend_above, name_rows
from ialp_jax.report.sweep.canvas import BEST, INK, MIDDLE, RUN, plain_axes, sheet
from ialp_jax.report.sweep.scales import shorten
from ialp_jax.report.sweep.settings import Setting, mean_of


def importance_bars(importance: dict[str, float] | None) -> str | None:
    """Bars from the most to the least important axis; None where nothing finite is known."""
    known = {name: share for name, share in (importance or {}).items() if np.isfinite(share)}
    if not known:
        return None
    names = sorted(known, key=lambda name: (-known[name], name))
    with sheet("importance", 9.6, 0.7 + 0.36 * len(names)) as (figure, done):
        axes = figure.add_subplot()
        shares = [known[name] for name in names]
        axes.barh(range(len(names)), shares, color=MIDDLE, height=0.62)
        for row, share in enumerate(shares):
            axes.annotate("< 1%" if 0 < share < 0.01 else f"{share:.0%}", (share, row), xytext=(5, 0), textcoords="offset points", va="center",
                          fontsize=9)  # fmt: skip
        name_rows(axes, [shorten(name, 40) for name in names])
        axes.set_xlim(0, max(1e-9, *shares) * 1.12)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:.0%}"))
        axes.set_xlabel("share of the explained variation of the objective", fontsize=9)
        return done()


def best_so_far(settings: list[Setting], label: str) -> str | None:
    """Every trial's objective in the order they were tried and the best until then."""
    tried = [(setting.id, mean_of(setting)) for setting in settings if setting.state == "complete"]
    if len(tried) < 2:
        return None
    trials, values = (np.array(part, dtype=float) for part in zip(*tried, strict=True))
    with sheet("best-so-far", 9.6, 3.0) as (figure, done):
        axes = figure.add_subplot()
        axes.plot(
            trials, values, "o", color=MIDDLE, markersize=4, alpha=0.75, markeredgewidth=0, label="trial"
        )
        axes.step(trials, np.maximum.accumulate(values), where="post", color=BEST, linewidth=2,
                  label="best so far")  # fmt: skip
        failed = [setting.id for setting in settings if setting.state == "failed"]
        if failed:
            axes.plot(failed, np.full(len(failed), values.min()), "x", color=RUN, label="failed (no value)")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        plain_axes(axes)
        axes.set_xlabel("trial", fontsize=9)
        axes.set_ylabel(label, fontsize=9)
        legend_above(axes, columns=3)
        return done()


def rung_curves(
    settings: list[Setting], rungs: pl.DataFrame | None, best: Setting | None, label: str
) -> str | None:
    """The objective when each rung was measured against the updates until then.

    With `rungs` a line joins a setting's rungs; without, each setting is a dot where it was last measured.
    None where all settings were last measured at the same place.
    """
    lines = _last(settings) if rungs is None else _joined(rungs)
    if len({updates for line in lines.values() for updates, _ in line}) < 2:
        return None
    by_id = {setting.id: setting for setting in settings}
    with sheet("rungs", 9.6, 3.6) as (figure, done):
        axes = figure.add_subplot()
        for number, line in lines.items():
            survivor = by_id[number].state == "complete"
            chosen = by_id[number] is best
            across, value = zip(*line, strict=True)
            axes.plot(across, value, "o-", color=BEST if chosen else MIDDLE if survivor else RUN,
                      linewidth=2.4 if chosen else 1.1, markersize=5 if chosen else 3.5, markeredgewidth=0,
                      alpha=1.0 if chosen else 0.7 if survivor else 0.45,
                      zorder=4 if chosen else 3 if survivor else 2)  # fmt: skip
        for colour, name in ((BEST, "best setting"), (MIDDLE, "trained to the end"), (RUN, "stopped early")):
            axes.plot([], [], "o-", color=colour, label=name)
        axes.set_xticks(sorted({updates for line in lines.values() for updates, _ in line}))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda updates, _: f"{updates:,.0f}"))
        plain_axes(axes)
        axes.set_xlabel("updates trained when measured", fontsize=9)
        axes.set_ylabel(label, fontsize=9, color=INK)
        legend_above(axes, columns=3)
        return done()


Lines = dict[int, list[tuple[int, float]]]


def _last(settings: list[Setting]) -> Lines:
    return {
        setting.id: [(setting.updates, setting.found.mean)]
        for setting in settings
        if setting.updates is not None and setting.found is not None
    }


def _joined(rungs: pl.DataFrame) -> Lines:
    """Setting -> (updates, interquartile mean over its seeds) at every rung where all have a value."""
    lines: Lines = {}
    grouped = rungs.sort("setting", "updates", "seed").group_by("setting", "updates", maintain_order=True)
    for (setting, updates), rows in grouped:
        values = rows["value"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
        if np.isfinite(values).all():
            lines.setdefault(int(setting), []).append((int(updates), float(interquartile_mean(values))))  # type: ignore[call-overload]
    return lines
