"""`summary.json`: the numbers of a run that scripts rely on."""

from typing import Any

import numpy as np
from jaxtyping import Float

from ialp_jax.evaluation.statistics import CONFIDENCE, RESAMPLES, estimate
from ialp_jax.report.comparisons import compare
from ialp_jax.report.health import health_statements
from ialp_jax.report.inputs import RunFiles
from ialp_jax.report.quality import quality_digest
from ialp_jax.report.tables import COSTS

STATISTIC = (
    f"mean = interquartile mean over seeds (middle half, fractional weights); low, high = {CONFIDENCE:.0%} "
    f"stratified bootstrap percentile interval over seeds, {RESAMPLES:,} resamples; rewards are per session"
)

PREFERENCES = (
    "judge", "is_llm", "model", "revision", "test_double", "statement", "pairs", "rejected", "calls", "prompt_tokens",
    "computed_tokens", "auc_vs_world", "gate", "unused",
)  # fmt: skip
"""What `summary.json` keeps of `preferences.json`; None where the run did not record it."""


def build_summary(run: RunFiles) -> dict[str, Any]:
    """The content of `summary.json`: world, preferences, budget, every method's metrics, and what decides.

    Every method has its "card" (`cards.Card`) and its costs besides its metrics. Every metric is {"mean", "low", "high",
    "per_seed"}. `low` and `high` are None for a single seed, which has no interval; all three numbers are None where a seed has no finite value (None in "per_seed").
    A method of which a seed diverged has "diverged" besides: {"seed", "stage", "update", "updates", "leaves"} of each such seed.
    "decided" are sentences on what the run decided itself where its configuration said auto.
    "comparisons" are the rows of `comparisons.compare`, "health" says what left its range while methods learnt, "notes" say what a reader must know of logs and world first, and what is missing.
    """
    return {
        "env": run.world["env"],
        "world": _pick(run.world, "source", "users", "items", "interactions")
        | _pick(run.world.get("fit", {}), "item_mean_share"),
        "preferences": _pick(run.preferences, *PREFERENCES)
        | {"quality": quality_digest(run.preferences.get("quality"))},
        "budget": _pick(run.budget, "online_steps", "seeds", "pretrain_steps"),
        "phases": dict(run.phases),
        "statistic": STATISTIC,
        "methods": {
            name: {metric: describe_metric(values) for metric, values in metrics.items()}
            | _pick(run.results[name], *COSTS)
            | {"card": run.cards[name]}
            | ({"diverged": run.diverged[name]} if name in run.diverged else {})
            for name, metrics in run.per_seed.items()
        },
        "comparisons": compare(run.cards, run.per_seed),
        "health": health_statements(run.health),
        "decided": run.config.get("decided", {}).get("statements", []),
        "notes": [*run.world.get("cautions", []), *run.notes],
    }


def describe_metric(values: Float[np.ndarray, " R"]) -> dict[str, Any]:
    """One metric of one method: {"mean", "low", "high", "per_seed"} (see `build_summary` for None)."""
    per_seed = [float(value) if np.isfinite(value) else None for value in values]
    if None in per_seed:
        return {"mean": None, "low": None, "high": None, "per_seed": per_seed}
    found = estimate(values)
    low, high = (found.low, found.high) if values.size > 1 else (None, None)
    return {"mean": found.mean, "low": low, "high": high, "per_seed": per_seed}


def _pick(source: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: source.get(name) for name in names}
