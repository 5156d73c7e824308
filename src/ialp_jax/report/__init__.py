"""Room report: a run's summary and self-contained page, made from its files only (never imports jax)."""

from pathlib import Path
from typing import Any

from ialp_jax.artifacts import atomic_path, write_json
from ialp_jax.report.headline import preference_statements
from ialp_jax.report.html import render_page
from ialp_jax.report.inputs import KIND, WRITTEN, read_run
from ialp_jax.report.summary import build_summary
from ialp_jax.report.tables import print_judge, print_summary
from ialp_jax.sealed import seal_again

__all__ = ["preference_statements", "print_judge", "print_summary", "write_report"]


def write_report(out: Path) -> dict[str, Any]:
    """Writes `out/summary.json` and `out/report.html` from the files a run left in `out`.

    Needs `results.json` and `world.json`; says on the page which of `preferences.json`, `curves.npz` and
    `config.json`, and which methods, are missing. The same files give the same bytes.

    Returns:
        The summary, as written.

    Raises:
        InputError: naming the file and field that is missing or malformed; then nothing is written.
    """
    run = read_run(out)
    summary = build_summary(run)
    page = render_page(run, summary)
    write_json(out / "summary.json", summary)
    with atomic_path(out / "report.html") as temporary:
        temporary.write_text(page, encoding="utf-8")
    seal_again(out, KIND, WRITTEN)
    return summary
