"""Builds small raw logs for tests of the pipeline."""

import polars as pl

from ialp_jax.data.build import RawLogs


def raw_logs(rows, **changes):
    columns = ["user", "item", "value", *(["time"] if len(rows[0]) == 4 else [])]
    frame = pl.DataFrame(rows, schema=columns, orient="row").cast({"value": pl.Float64})
    items = frame["item"].unique().sort().to_list()
    described = pl.DataFrame(
        {"raw_id": items, "title": items, "text": "", "categories": pl.Series([["a"]] * len(items))}
    )
    settings = {
        "name": "tiny",
        "source": "logs",
        "domain": "generic",
        "feedback": "implicit",
        "rating_range": (0.0, 1.0),
        "unit": "hours",
        "file": None,
        "interactions": frame.with_columns(file_row=pl.int_range(2, len(rows) + 2, dtype=pl.Int64)),
        "items": described,
    }
    return RawLogs(**{**settings, **changes})
