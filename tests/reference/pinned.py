"""Numbers of whole runs that a change of the code's arrangement must not move: kept in tests/golden, one file per run.

Where they were made they hold to the last bit. Elsewhere (another version of JAX, another processor) rounding differs,
and a run that is short enough that no sampled item is flipped by it holds to five digits.
`PIN=1 make test` writes them anew, after a change that is meant to move them.
"""

import json
import os
import platform
from pathlib import Path

import jaxlib
import numpy as np
import polars as pl

from ialp_jax.artifacts import read_arrays

GOLDEN = Path(__file__).parents[1] / "golden"


def assert_pinned(name, numbers):
    """Compares {what: numbers} with the file of that name."""
    path = GOLDEN / f"{name}.json"
    numbers = {what: np.asarray(values, np.float64).ravel().tolist() for what, values in numbers.items()}
    if os.environ.get("PIN") == "1":
        text = json.dumps({"made_on": made_on(), "numbers": numbers}, indent=0).replace(",\n", ", ")
        path.write_text(text + "\n", encoding="utf-8")
    golden = json.loads(path.read_text(encoding="utf-8"))
    assert numbers.keys() == golden["numbers"].keys()
    bitwise = golden["made_on"] == made_on()
    for what, values in golden["numbers"].items():
        if bitwise:
            assert numbers[what] == values, what
        else:
            np.testing.assert_allclose(numbers[what], values, rtol=1e-5, atol=1e-5, err_msg=what)


def made_on():
    """What decides how a number is rounded."""
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text().split("flags", 1)[-1].split("\n", 1)[0].split() if cpuinfo.exists() else []
    return {
        "machine": platform.machine(),
        "vectors": sorted(flag for flag in flags if flag.startswith(("avx", "fma"))),
        "xla_flags": os.environ.get("XLA_FLAGS", "").split(),
        "jaxlib": jaxlib.__version__,
        "numpy": np.__version__,
        "polars": pl.__version__,
    }


def study_numbers(out):
    """Every metric of every method of a finished study, and its curves."""
    methods = json.loads((out / "results.json").read_text(encoding="utf-8"))["methods"]
    metrics = {f"{name}/{metric}": values for name, method in methods.items()
               for metric, values in method["per_seed"].items()}  # fmt: skip
    return metrics | dict(sorted(read_arrays(out / "curves.npz").items()))


def sweep_numbers(out):
    """The columns of results.parquet that hold what was measured."""
    results = pl.read_parquet(out / "results.parquet").sort("setting", "seed")
    return {
        name: results[name].to_list() for name in results.columns if name.startswith(("metric.", "cost."))
    }
