"""Writes one of everything that lies in files, of invented data: python tests/reference/old_artefacts.py FOLDER.

What a version has written is kept for ever, in a folder of tests/golden, and opened by tests/test_old_artefacts.py. A
version that writes another form writes another folder beside the older ones (docs/supply.md says when).
"""

import os
import shutil
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from tiny_study import FIXED, TINY

import ialp_jax
from ialp_jax.artifacts import read_arrays, read_json, write_json
from ialp_jax.data.dataset import Dataset
from ialp_jax.policies.artifact import load_policy
from ialp_jax.preferences.candidates import CandidateConfig
from ialp_jax.preferences.job.job import run_job
from ialp_jax.preferences.judges import build_judge
from ialp_jax.preferences.table import MANIFEST, PreferenceTable, read_shard, shard_path
from ialp_jax.training.checkpoint import CheckpointStore

OWNER, NUMBER = "an owner", 6
SIZES = {name: value for name, value in FIXED.items() if not name.startswith("pretrain")}
STUDY = SIZES | {"seeds": 2, "logged.sessions": 24}
METHODS = ("random", "a2c")
SPACE = {"method": "a2c", "objective": "mean_reward", "seeds": 2, "search": {"kind": "grid"}, "fixed": SIZES,
         "axes": {"methods.a2c.learning_rate": [0.001, 0.01]}}  # fmt: skip
LEFT_OUT = ("*.html", ".lock", "sweep/worlds")  # made again from the rest, or as in the study


def run_state(offset: float):
    """A small state of every kind of leaf but keys."""
    return {
        "numbers": jnp.arange(6.0).reshape(2, 3) + offset,
        "count": jnp.int32(offset),
        "flag": jnp.array([True, False]),
    }


def write(folder: Path) -> None:
    """All of it; the page of a study and a sweep is left out, it is made from the rest."""
    folder.mkdir(parents=True)
    os.chdir(folder)  # so that no file names the place where it was made
    Path("tiny.py").write_text(TINY, encoding="utf-8")
    with jax.debug_key_reuse(False):
        ialp_jax.train("tiny.py", out="study", methods=METHODS, quiet=True, **STUDY)
        ialp_jax.sweep("tiny.py", space=SPACE, out="sweep", quiet=True, devices=1)
    logs = Dataset.load(Path("study/dataset"))
    judge = build_judge("content", logs)
    run_job(logs, judge, CandidateConfig(similar=2, popular=1, random=1), Path("table"), states_per_shard=10, progress=False,
            console=Console(quiet=True))  # fmt: skip
    shutil.copytree("table", "unfinished")
    for path in (Path("unfinished", MANIFEST), shard_path(Path("unfinished"), 1)):
        path.unlink()
    store = CheckpointStore(Path("states").absolute(), OWNER)
    for number in (NUMBER - 2, NUMBER):
        store.save(number, run_state(number))
    for pattern in LEFT_OUT:
        for path in list(Path().rglob(pattern)):
            path.unlink() if path.is_file() else shutil.rmtree(path)
    write_json(Path("values.json"), read(Path()))


def read(folder: Path) -> dict[str, object]:
    """What the readers of this version say of such a folder."""
    logs = Dataset.load(folder / "study/dataset")
    table = PreferenceTable.load(folder / "table")
    job = read_json(folder / "unfinished/job.json")
    shard = read_shard(shard_path(folder / "unfinished", 0), job["num_items"], len(job["users"]))
    store = CheckpointStore(folder / "states", OWNER)
    state = store.restore(store.latest(warned), run_state(0))
    policy = load_policy(folder / "study/policy")
    sessions = next((folder / "study/logged").rglob("sessions.npz"))
    study, sweep = (ialp_jax.read(folder / name).sort("seed") for name in ("study", "sweep"))
    return {
        "dataset": [logs.fingerprint, logs.num_users, logs.num_items, logs.num_interactions, round(float(logs.interactions["value"].sum()), 6)],
        "table": [table.num_states, table.num_judgements, table.info.name, round(float(table.score.sum()), 4)],
        "judged shard": [shard.height, round(float(shard["score"].sum()), 4)],
        "run state": {name: np.asarray(leaf).tolist() for name, leaf in state.items()},
        "policy": [[choice.raw_id, round(choice.probability, 4)] for choice in policy.recommend([1, 2], k=3)],
        "recorded sessions": {name: [list(array.shape), round(float(array.sum()), 2)] for name, array in
                              sorted(read_arrays(sessions).items())},
        "study": [round(value, 5) for value in study.sort("method", "seed")["metric.mean_reward"]],
        "sweep": [round(value, 5) for value in sweep.sort("setting", "seed")["metric.mean_reward"]],
    }  # fmt: skip


def warned(message: str) -> None:
    """A run state that cannot be trusted is none that was opened."""
    raise AssertionError(message)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
