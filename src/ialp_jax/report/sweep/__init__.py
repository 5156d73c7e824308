"""A sweep's summary and self-contained page, made from the files the sweep left (never imports jax)."""

from pathlib import Path
from typing import Any

from ialp_jax.artifacts import atomic_path, write_json
from ialp_jax.report.sweep.inputs import KIND, WRITTEN, read_sweep
from ialp_jax.report.sweep.page import render_sweep
from ialp_jax.report.sweep.settings import gather
from ialp_jax.report.sweep.summary import build_summary
from ialp_jax.report.sweep.terminal import print_sweep
from ialp_jax.sealed import seal_again

__all__ = ["print_sweep", "write_sweep_report"]


def write_sweep_report(
    out: Path, importance: dict[str, float] | None = None, importance_note: str = ""
) -> dict[str, Any]:
    """Writes `out/summary.json` and `out/report.html` from the files a sweep left in `out`.

    Needs `sweep.json` and `results.parquet`; uses `timings.parquet` and `rungs.parquet` where they are. The
    same files and arguments give the same bytes.

    Args:
        out: the sweep's folder.
        importance: axis name -> share of the objective's variation it explains, in [0, 1]; None if unknown.
        importance_note: how the importance was computed, or why there is none.

    Returns:
        The summary, as written (see `summary.build_summary`).

    Raises:
        InputError: naming the file and column that is missing or malformed; then nothing is written.
    """
    files = read_sweep(out)
    settings = gather(files)
    summary = build_summary(files, settings, importance, importance_note)
    page = render_sweep(files, settings, summary)
    write_json(out / "summary.json", summary)
    with atomic_path(out / "report.html") as temporary:
        temporary.write_text(page, encoding="utf-8")
    seal_again(out, KIND, WRITTEN)
    return summary
