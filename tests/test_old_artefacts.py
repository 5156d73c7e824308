"""What earlier versions have written is opened by this one and says what it said: one folder for each form, kept for ever.

tests/reference/old_artefacts.py wrote them; docs/supply.md says when a further one is due.
"""

import json
import shutil
from pathlib import Path

import old_artefacts
import pytest
from tiny_study import TINY

import ialp_jax
from ialp_jax.artifacts import InputError
from ialp_jax.commands.report import run as report
from ialp_jax.preferences.table import PreferenceTable

FOLDERS = sorted((Path(__file__).parent / "golden").glob("artefacts-*"))
MOST = 300_000  # bytes of one of them


@pytest.fixture(params=FOLDERS, ids=lambda folder: folder.name)
def kept(request):
    return request.param


def test_there_is_one():
    assert FOLDERS


def test_every_artefact_says_what_it_said(kept):
    stored = json.loads((kept / "values.json").read_text(encoding="utf-8"))
    said = json.loads(json.dumps(old_artefacts.read(kept)))
    probabilities = [[choice.pop() for choice in values["policy"]] for values in (stored, said)]
    assert probabilities[0] == pytest.approx(probabilities[1], abs=1e-3)
    assert said == stored


def test_what_is_unfinished_is_told_from_what_is_not(kept):
    with pytest.raises(InputError, match="has not finished"):
        PreferenceTable.load(kept / "unfinished")


def test_a_page_is_made_from_a_finished_sweep(kept, tmp_path, monkeypatch, capsys):
    (tmp_path / "tiny.py").write_text(TINY, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    shutil.copytree(kept / "sweep", "sweep")
    record = json.loads(Path("sweep/sweep.json").read_text(encoding="utf-8"))
    Path("sweep/sweep.json").write_text(
        json.dumps(record | {"env": str(tmp_path / "tiny.py")}), encoding="utf-8"
    )
    report(["sweep"])
    assert Path("sweep/report.html").stat().st_size > 10_000 and "learning_rate" in capsys.readouterr().out
    now, then = (
        ialp_jax.read(folder).select("setting", "seed", "^(metric|axis).*$")
        for folder in ("sweep", kept / "sweep")
    )
    assert now.equals(then)


def test_a_page_is_made_from_a_finished_study(kept, tmp_path):
    shutil.copytree(kept / "study", tmp_path / "study")
    report([str(tmp_path / "study")])
    assert (tmp_path / "study/report.html").stat().st_size > 10_000


def test_they_are_small(kept):
    assert sum(path.stat().st_size for path in kept.rglob("*") if path.is_file()) < MOST
