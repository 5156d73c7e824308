"""A sweep's files with made-up numbers: nothing in them was measured."""

from pathlib import Path

import numpy as np
import polars as pl

from ialp_jax.artifacts import write_json

LOG = {"name": "methods.a2c.learning_rate", "log": True, "low": 1e-4, "high": 1e-2}
GAMMA = {"name": "methods.a2c.gamma", "log": False, "values": [0.8, 0.9, 0.99]}
METRICS = (
    "mean_reward", "final_reward", "initial_reward", "length", "reward_per_turn", "sampled_reward", "greedy_reward", "coverage",
    "diversity", "novelty",
)  # fmt: skip


def sweep_json(axes, kind="grid", seeds=4, **fields):
    return {
        "environment": "steam", "data": None, "method": "a2c", "objective": "mean_reward", "seeds": seeds,
        "search": {"kind": kind}, "axes": axes, "fixed": {"online.users": 64, "preferences.threshold": None},
        "preset": "quick", "judge": None, "statements": ["These numbers were made up for a test."],
        "study": {"seeds": seeds, "policy": {"embedding": 32}}, "versions": {"jax": "0.10.2", "python": "3.11"},
    } | fields  # fmt: skip


def rows_of(setting, values, changes, *, label=None, complete=True, updates=400, rung=0, **columns):
    """One row per seed of a setting whose objective is `values`."""
    text = label or ", ".join(f"{name.rsplit('.', 1)[-1]}={value}" for name, value in changes.items())
    return [
        {
            "setting": setting, "seed": seed, "label": text, "rung": rung, "updates": updates, "complete": complete,
            **{f"axis.{name}": changed for name, changed in changes.items()},
            **{f"metric.{name}": value for name in METRICS if value is not None},
            "cost.online_steps": updates * 512, "cost.pretraining_steps": 0, "cost.judgements": 100, "cost.llm_calls": 7,
            "command": f"ialp sweep-run --setting {setting} --seeds {len(values)}", "config": "{}",
        } | columns
        for seed, value in enumerate(values)
    ]  # fmt: skip


def write_sweep(out: Path, rows, sweep, timings=True, rungs=None) -> Path:
    """Writes the files of a sweep into `out`."""
    write_json(out / "sweep.json", sweep)
    pl.DataFrame(rows, infer_schema_length=None).write_parquet(out / "results.parquet")
    if timings:
        pl.DataFrame([
            {"unit": "p0", "stage": "pretraining", "bucket": "fedcba9876543210", "runs": 4, "idle_copies": 0, "seconds": 2.0, "compile_seconds": 1.5, "steps": 1000},
            {"unit": "o0", "stage": "online", "bucket": "0123456789abcdef", "runs": 8, "idle_copies": 0, "seconds": 4.0, "compile_seconds": 2.5, "steps": 8000},
            {"unit": "o1", "stage": "online", "bucket": "0123456789abcdef", "runs": 6, "idle_copies": 2, "seconds": 4.0, "compile_seconds": 0.0, "steps": 6000},
        ]).write_parquet(out / "timings.parquet")  # fmt: skip
    if rungs is not None:
        pl.DataFrame(rungs).write_parquet(out / "rungs.parquet")
    return out


LANDSCAPE = [
    LOG,
    {"name": "methods.a2c.entropy", "log": True, "low": 1e-4, "high": 1e-1},
    {"name": "methods.a2c.gamma", "log": False, "low": 0.7, "high": 1.0},
    {"name": "policy.encoder", "log": False, "values": ["gru", "mean", "attention"]},
    {"name": "online.users", "log": False, "values": [32, 64, 128, 256]},
    {"name": "preferences.shuffle", "log": False, "values": [False, True]},
]


STOPS = (6.5, 8.0)  # halving: what is below is stopped at the first rung, at the second


def landscape(settings=50, seeds=4, kind="random", entropy=0):
    """Many settings of six axes with a smooth optimum; returns rows, sweep and rungs (of halving, else None).

    The learning rate decides most, then the encoder; the last axis does nothing.
    """
    rng = np.random.default_rng(entropy)
    rows, rungs = [], []
    for setting in range(settings):
        rate, entropy_weight = 10 ** rng.uniform(-4, -2), 10 ** rng.uniform(-4, -1)
        gamma = rng.uniform(0.7, 1.0)
        encoder, users = str(rng.choice(["gru", "mean", "attention"])), int(rng.choice([32, 64, 128, 256]))
        height = 9 - 3 * (np.log10(rate) + 2.8) ** 2 - 0.7 * (np.log10(entropy_weight) + 2.5) ** 2
        height += 3 * (gamma - 0.7) + {"gru": 0.0, "mean": -1.2, "attention": 0.3}[encoder]
        values = np.maximum(height, 0.5) + rng.normal(0, 0.35, seeds)
        stage = int(np.searchsorted(STOPS, height)) if kind == "halving" else 2
        changes = dict(zip((axis["name"] for axis in LANDSCAPE),
                           (rate, entropy_weight, gamma, encoder, users, bool(rng.integers(2))), strict=True))  # fmt: skip
        shares = [0.55, 0.8, 1.0][: stage + 1]
        updates = [100, 200, 400][stage]
        rows += rows_of(setting, [float(v) for v in values * shares[-1]], changes, updates=updates,
                        complete=stage == 2, rung=stage if kind == "halving" else 0)  # fmt: skip
        rungs += [
            {"setting": setting, "seed": seed, "rung": rung, "updates": [100, 200, 400][rung], "value": float(value * share)}
            for rung, share in enumerate(shares)
            for seed, value in enumerate(values)
        ]  # fmt: skip
    sweep = sweep_json(LANDSCAPE, kind, seeds, planned_runs=settings * seeds)
    return rows, sweep, rungs if kind == "halving" else None
