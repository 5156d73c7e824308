"""`ialp prefs show | evaluate | merge | export`, as they are typed."""

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typed_prefs import plan, type_

from ialp_jax.artifacts import read_manifest, write_manifest
from ialp_jax.environments.logs import Logs
from ialp_jax.preferences.job.job import finish_job, judge_shard, open_job
from ialp_jax.preferences.job.requests import FOLDER, KIND, Requests
from ialp_jax.preferences.judges import JudgeInfo, Judgement, Usage
from ialp_jax.preferences.table import PreferenceTable


class FakeModel:
    """Likes what is popular by the answers held out; rejects item 0; keeps to the form by a label mass."""

    def __init__(self, dataset, mass=0.9, mode="pointwise"):
        settings = {"mode": mode, "list_size": 3}
        self.info = JudgeInfo("fake", True, "a/model", "7", "hash", settings, "A fake model judged.")
        self.counts = np.bincount(dataset.interactions["item"].to_numpy(), minlength=dataset.num_items)
        self.mass = mass

    def judge(self, requests):
        return [self._judge(np.array(request.items)) for request in requests]

    def _judge(self, items):
        scores = (self.counts[items] / (self.counts.max() + 1)).astype(np.float32)
        scores[items == 0] = np.nan
        raw = ["rejected: [bold]too long" if item == 0 else "Yes[/bold]\nand more" for item in items]
        logs = [np.log(self.mass * part).astype(np.float32) for part in (scores, 1 - scores)]
        usage = Usage(*(np.full(items.size, cost, np.int32) for cost in (1, 300, 30)))
        return Judgement(scores, raw, *logs, usage)


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """A planned job about 40 users of the invented environment."""
    return plan(tmp_path_factory.mktemp("planned") / "job", 40)


@pytest.fixture(scope="module")
def dataset(planned):
    return Logs.of(Requests.load(planned / FOLDER).logs, planned).dataset()


@pytest.fixture
def table(planned, dataset, tmp_path):
    """The same job, judged."""
    return _judged(planned, tmp_path / "table", FakeModel(dataset))


def _judged(planned, directory, judge):
    shutil.copytree(planned, directory)
    job = open_job(directory, judge.info)
    for shard in range(job.num_shards):
        judge_shard(job, judge, shard)
    finish_job(job)
    return directory


@pytest.fixture(autouse=True)
def _wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "250")


def test_show_before_anything_is_judged(planned, capsys):
    assert type_("prefs", "show", planned, "--state", 3, "--items", 2) == 0
    shown, request = capsys.readouterr().out, Requests.load(planned / FOLDER).make(3)
    assert "Nobody has judged yet" in shown and "0 of 14 items have a score" in shown
    assert request.state_text in shown and "You know video games" in shown
    assert f"Video game:\n{request.item_texts[0]}\n" in shown
    assert request.item_texts[1] in shown and request.item_texts[2] not in shown


def test_show_puts_the_best_first_and_what_was_rejected_last(table, capsys):
    assert type_("prefs", "show", table, "--state", 5) == 0
    shown, loaded = capsys.readouterr().out, PreferenceTable.load(table)
    requests = Requests.load(table / FOLDER)
    own = loaded.state == 5
    items = loaded.item[own][np.argsort(-loaded.score[own], kind="stable")]
    listed = shown[shown.index("label mass") :]
    places = [listed.index(f" {requests.item_texts[item]} ") for item in items]
    assert places == sorted(places)
    assert "fake: a/model, revision 7. A fake model judged." in shown
    assert f"{loaded.score[own].max():.4f}" in shown and "0.900" in shown
    # Raw answers are text from outside: one line, and no markup.
    assert "Yes[/bold] and more" in shown
    state = next(s for s in range(40) if 0 in requests.make(s).items)
    assert type_("prefs", "show", table, "--state", state) == 0
    assert "rejected: [bold]too long" in capsys.readouterr().out.splitlines()[-2]


def test_show_of_a_list_judge_shows_lists(planned, dataset, tmp_path, capsys):
    table = _judged(planned, tmp_path / "list", FakeModel(dataset, mode="list"))
    assert type_("prefs", "show", table, "--state", 0) == 0
    shown = capsys.readouterr().out
    assert (
        "which one of the following" in shown
        and "\nA) " in shown
        and "\nC) " in shown
        and "\nD) " not in shown
    )


def test_show_shows_what_there_is_of_an_unfinished_job(planned, dataset, tmp_path, capsys):
    table = _judged(planned, tmp_path / "part", FakeModel(dataset))
    (table / "manifest.json").unlink()
    (table / "shard-000000.parquet").unlink()
    for state, told in ((0, "0 of 14"), (39, "14 of 14")):
        assert type_("prefs", "show", table, "--state", state) == 0
        assert told in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"), [(("--state", "40"), "from 0 to 39"), (("--items", "0"), "1 or more")]
)
def test_show_refuses_what_is_not_there(planned, capsys, words, told):
    assert type_("prefs", "show", planned, *words) == 2
    assert told in capsys.readouterr().err


def test_evaluate_prints_writes_and_passes(table, capsys):
    before = {path.name for path in table.iterdir()}
    assert type_("prefs", "evaluate", table, "--gate.rejected", "0.2") == 0
    shown = capsys.readouterr().out
    assert "passes the gate" in shown and "content judge" in shown and "A fake model judged" in shown
    assert {path.name for path in table.iterdir()} - before == {"evaluation.json", "evaluation.svg"}
    found = json.loads((table / "evaluation.json").read_text())
    assert found["judge_name"] == "fake" and found["states"] == 40 and found["judge"]["auc"]["mean"] > 0.55
    assert found["label_mass"]["mean"] == pytest.approx(0.9)
    assert (
        f"{found['judge']['auc']['mean']:.3f} [" in shown
        and f"{found['content']['auc']['mean']:.3f} [" in shown
    )
    assert PreferenceTable.load(table).num_states == 40


def test_evaluate_fails_the_gate_with_status_1_unless_it_is_not_enforced(table, capsys):
    flags = ["--gate.rejected", "0.2", "--gate.auc", "0.999", "--gate.label-mass", "0.95", "--no-content"]
    assert type_("prefs", "evaluate", table, *flags) == 1
    shown = capsys.readouterr().out
    assert "below 0.999 (--gate.auc)" in shown and "0.9, below 0.95" in shown and "passes" not in shown
    assert json.loads((table / "evaluation.json").read_text())["content"] is None
    assert type_("prefs", "evaluate", table, *flags, "--gate.enforce", "False") == 0
    assert "not enforced" in capsys.readouterr().out


def test_evaluate_against_another_table(planned, dataset, table, tmp_path, capsys):
    other = _judged(planned, tmp_path / "other", FakeModel(dataset, mass=0.8))
    type_("prefs", "evaluate", table, "--no-content", "--against", other)
    shown, pairs = capsys.readouterr().out, PreferenceTable.load(table).num_judgements
    assert f"{pairs} pairs of 40 users in both; Spearman 1.000" in shown and "100% of the top" in shown
    assert json.loads((table / "agreement.json").read_text())["agreement"]["pairs"] == pairs


def planned_with(table, change):
    """The table's requests, as if planned with other logs."""
    kept = read_manifest(table / FOLDER, KIND)
    write_manifest(
        table / FOLDER,
        kept.kind,
        kept.config | {"logs": change(kept.config["logs"])},
        kept.parents,
        kept.statements,
    )


def test_evaluate_refuses_other_logs_and_unfinished_tables(table, capsys):
    planned_with(table, lambda logs: logs | {"config": logs["config"] | {"seed": 1}})
    assert type_("prefs", "evaluate", table) == 2
    assert "not those the table was made from" in capsys.readouterr().err
    (table / "manifest.json").unlink()
    assert type_("prefs", "evaluate", table) == 2
    assert "has not finished" in capsys.readouterr().err


def test_merge_as_typed(table, tmp_path, capsys):
    parts = [tmp_path / "a", tmp_path / "b"]
    for number, part in enumerate(parts):
        shutil.copytree(table, part)
        (part / "manifest.json").unlink()
        for shard in sorted(part.glob("shard-*"))[number::2]:
            shard.unlink()
    assert type_("prefs", "merge", *parts, "--out", tmp_path / "merged") == 0
    assert "40 users" in capsys.readouterr().out
    for path in table.rglob("[!.]*.*"):
        assert (tmp_path / "merged" / path.relative_to(table)).read_bytes() == path.read_bytes()
    assert type_("prefs", "merge", *parts, "--out", table) == 2
    assert "not empty" in capsys.readouterr().err


READERS = {".csv": lambda path: pl.read_csv(path, schema_overrides={"user": pl.String, "item": pl.String}),
           ".parquet": pl.read_parquet, ".jsonl": pl.read_ndjson}  # fmt: skip


@pytest.mark.parametrize("suffix", READERS)
def test_export_has_every_pair_with_raw_ids(table, dataset, tmp_path, suffix):
    file = tmp_path / "folder" / f"pairs{suffix}"
    assert type_("prefs", "export", table, file) == 0
    rows, loaded = READERS[suffix](file), PreferenceTable.load(table)
    assert rows.columns == ["user", "item", "text", "score", "label_mass", "raw"]
    assert rows.height == 40 * 14 and rows["score"].null_count() == loaded.rejected > 0
    judged = rows.filter(pl.col("score").is_not_null())
    expected = {
        (dataset.users["raw_id"][int(loaded.users[state])], dataset.items["raw_id"][int(item)]): score
        for state, item, score in zip(loaded.state, loaded.item, loaded.score, strict=True)
    }
    found = dict(zip(judged.select("user", "item").iter_rows(), judged["score"].to_list(), strict=True))
    assert found.keys() == expected.keys()
    assert all(found[pair] == pytest.approx(expected[pair]) for pair in found)
    assert judged["label_mass"].to_numpy() == pytest.approx(0.9)
    assert judged["raw"][0] == "Yes[/bold]\nand more"


def test_export_without_logs_has_numbers(table, tmp_path):
    planned_with(table, lambda logs: {})
    assert type_("prefs", "export", table, tmp_path / "pairs.parquet") == 0
    rows, loaded = pl.read_parquet(tmp_path / "pairs.parquet"), PreferenceTable.load(table)
    assert set(rows["user"]) == {str(user) for user in loaded.users}


def test_export_refuses_other_formats_and_leaves_no_half_of_a_file(table, tmp_path, capsys):
    assert type_("prefs", "export", table, tmp_path / "pairs.xlsx") == 2
    assert ".csv, .parquet, .jsonl" in capsys.readouterr().err
    file = Path(tmp_path / "pairs.csv")
    file.write_text("mine")
    (table / "manifest.json").unlink()
    assert type_("prefs", "export", table, file) == 2
    assert file.read_text() == "mine"


def test_all_commands_have_a_short_summary(capsys):
    assert type_("prefs", "--help") == 0
    shown = capsys.readouterr().err
    assert all(f"\n  {name} " in shown for name in ("plan", "show", "evaluate", "merge", "export"))
