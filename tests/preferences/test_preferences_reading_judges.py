"""Judges that read the logs, or tell their costs, as they are typed; what runs a model is another test's."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
from typed_prefs import plan, type_

from ialp_jax.artifacts import read_json
from ialp_jax.preferences.job.requests import FOLDER, Requests
from ialp_jax.preferences.judges import content, embedding, likelihood
from ialp_jax.preferences.judges.base import JudgeInfo, Usage
from ialp_jax.preferences.prompting import estimate
from ialp_jax.preferences.prompting.model_files import ModelFiles
from ialp_jax.preferences.table import PreferenceTable

FILES = ModelFiles("encoder", "nowhere", "r1", "general", "", {"hidden_size": 4})


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    return plan(tmp_path_factory.mktemp("planned") / "job", 30)


@pytest.fixture
def job(planned, tmp_path):
    return shutil.copytree(planned, tmp_path / "job")


@pytest.fixture
def encoded(monkeypatch):
    """The embedding judge with vectors made here."""
    monkeypatch.setattr(embedding, "require_torch", lambda judge: {"torch": "1"})
    monkeypatch.setattr(embedding, "find_model", lambda model, revision: FILES)
    monkeypatch.setattr(embedding, "size_in_words", lambda files: "1 M parameters")

    def vectors(dataset, *given):
        found = np.random.default_rng(0).normal(size=(dataset.num_items, 4)).astype(np.float32)
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    monkeypatch.setattr(embedding, "_vectors", vectors)


def test_the_embedding_judge_reads_the_logs_that_the_job_was_planned_with(encoded, job, capsys):
    type_("prefs", "judge", job, "embedding", "--model", "m", "--dry-run")
    assert "420 pairs; this judge's tokens are none: it calls no language model" in " ".join(
        capsys.readouterr().out.split()
    )
    type_("prefs", "judge", job, "embedding", "--model", "m")
    table = PreferenceTable.load(job)
    assert table.info.name == "embedding" and not table.info.is_llm and table.num_judgements == 420
    assert table.info.statement.startswith("No language model judged") and table.costs["calls"] == 0
    assert table.info.settings["log_popularity_weight"] > 0


def test_logs_that_are_others_are_refused(encoded, job, capsys):
    requests = Requests.load(job / FOLDER)
    requests.logs["config"]["k_core"] = 6
    shutil.rmtree(job / FOLDER)
    requests.save(job / FOLDER)
    assert type_("prefs", "judge", job, "embedding", "--model", "m") == 2
    assert "the logs are not those the table was made from" in " ".join(capsys.readouterr().err.split())
    assert not list(job.glob("shard-*"))


class Told:
    """Tells two calls per state and 5 tokens of 12 to compute."""

    info = JudgeInfo("likelihood", True, "m", "1", "", {"dtype": "float32"}, "It judged.")
    files = FILES

    def cost(self, request):
        first = np.arange(len(request.items)) == 0
        return Usage(2 * first, 12 * first, 5 * first)

    def texts(self, request):
        return [1, 2, 3], [[4] * (1 + request.state % 3)]


def test_what_a_judge_will_compute_is_told_of_all_states(job, monkeypatch, capsys):
    monkeypatch.setattr(likelihood, "build", lambda context, config: Told())
    monkeypatch.setattr(estimate, "parameters", lambda files: 1000)
    monkeypatch.setattr(estimate, "kv_bytes", lambda config, width: width)
    monkeypatch.setattr(ModelFiles, "language_config", property(lambda self: {}))
    type_("prefs", "judge", job, "likelihood", "--model", "m", "--dry-run")
    told = capsys.readouterr().out
    assert "60 (all counted); the longest has 6 tokens" in told
    assert "360" in told and "150: 0.4 per pair, 2.4 x fewer" in told
    counted = estimate.estimate_counted(
        Requests.load(job / FOLDER),
        Told(),
        FILES,
        dtype="float32",
        at_once=7,
        assumed=estimate.Assumptions(tflops=2.0),
    )
    assert counted.weights == 4000 and counted.kv_cache == 7 * 6 * 4
    assert counted.seconds == pytest.approx(2 * 1000 * 150 / 2e12)


def test_the_command_that_judges_needs_no_jax():
    """vLLM's environment has none."""
    program = (
        "import sys; sys.modules['jax'] = None; import ialp_jax.commands.prefs.judge; "
        "from ialp_jax.preferences.judges import judge_module; judge_module('likelihood'); judge_module('embedding'); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'jaxlib')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_content_judge_still_asks_for_a_study(job):
    from ialp_jax.artifacts import InputError

    with pytest.raises(InputError, match=r"fitted to logs.*`ialp train` without PREFS"):
        content.build(Requests.load(job / FOLDER).context, content.Config())
    assert read_json(job / FOLDER / "manifest.json")["config"]["domain"]
