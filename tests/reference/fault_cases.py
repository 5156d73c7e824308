"""The works whose every file operation is failed in turn: python tests/reference/fault_cases.py [NAME...].

Prints of each boundary and fault how the work ended, what could then be read, and how it ended when it was done again; ends with status 1 if one is not well.
"""

import io
import sys
import tempfile
import time
from collections import Counter
from functools import lru_cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
from orbax.checkpoint import v1 as ocp
from rich.console import Console
from whole_works import DATASET, WHOLE, everything

from ialp_jax.artifacts import (
    atomic_path,
    read_arrays,
    read_json,
    read_manifest,
    write_arrays,
    write_json,
    write_manifest,
)
from ialp_jax.folders import claimed
from ialp_jax.policies.actor_critic import ActorCritic, Network
from ialp_jax.policies.artifact import save_policy
from ialp_jax.policies.config import PolicyConfig
from ialp_jax.preferences.candidates import CandidateConfig
from ialp_jax.preferences.job.job import run_job
from ialp_jax.preferences.judges import JudgeInfo, Judgement
from ialp_jax.study.config import StudyConfig
from ialp_jax.study.folder import StudyFolder
from ialp_jax.testing.faults import Case, outcomes
from ialp_jax.testing.tiny import small_inputs
from ialp_jax.training.checkpoint import CheckpointStore

PARQUET = (pl.DataFrame, "write_parquet")
QUIET = Console(file=io.StringIO())


def bytes_of(folder):
    """Every file but locks; half-written ones too, of which there must be none in the end."""
    return everything(folder, volatile=())


def old_and_new(write, read, old, new):
    """A file or folder `it` that holds something older first."""

    def either(folder):
        return read(folder / "it") in (expected[0], expected[1])

    with tempfile.TemporaryDirectory() as place:
        expected = []
        for number, value in enumerate((old, new)):
            write(Path(place) / str(number), value)
            expected.append(read(Path(place) / str(number)))
    return (
        lambda folder: write(folder / "it", old),
        lambda folder: write(folder / "it", new),
        lambda folder: (read(folder / "it"), [path.name for path in folder.iterdir()]),
        either,
    )


def write_thing(folder, text):
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        (temporary / "a").write_text(text)
        write_manifest(temporary, "thing", {"text": text})


def read_thing(folder):
    return read_manifest(folder, "thing").config, (folder / "a").read_text()


def state(offset):
    return {"a": jnp.arange(4.0) + offset, "b": jnp.int32(offset)}


def checkpoints(folder, last):
    """Training that goes on from the newest run state: 2, 4, ... hold their own numbers."""
    store = CheckpointStore(folder / "store", "mine")
    reached = store.latest(lambda message: None) or 0
    if reached:
        found = store.restore(reached, state(0))
        assert found["b"] == reached and (found["a"] == jnp.arange(4.0) + reached).all()
    for number in range(reached + 2, last + 1, 2):
        store.save(number, state(number))


def restored(folder):
    store = CheckpointStore(folder / "store", "mine")
    return {
        name: np.asarray(leaf).tolist()
        for name, leaf in store.restore(store.latest(lambda _: None), state(0)).items()
    }


def study_in(folder, seeds):
    keys = {"random": {"random": "0" * 16}}
    return StudyFolder(
        folder / "out", "small", "logs", None, None, StudyConfig(seeds=seeds, methods=("random",)), keys
    )


def opened(folder, seeds):
    with claimed(folder / "out", "a study"):
        study_in(folder, seeds).open(False, QUIET)


def results(folder):
    opened(folder, 1)
    out = folder / "out"
    for name in (
        "results.json",
        "report.html",
        "checkpoints/random-00000000/0000000010/data",
        "policy/params",
    ):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(f"{name} of one seed")


def nothing_lost(folder):
    """What another study has left lies whole, in one place."""
    wholes = [place for place in folder.iterdir() if (place / "report.html").exists()]
    return len(wholes) == 1 and len(bytes_of(wholes[0])) == 5


@lru_cache
def params(value):
    network = Network(ActorCritic(small_inputs().dataset.num_items, POLICY))
    shapes = jax.eval_shape(lambda key: network.init(key, 4), jax.random.key(0))
    return jax.tree.map(lambda leaf: np.full(leaf.shape, value, leaf.dtype), shapes)


POLICY = PolicyConfig(embedding=4, hidden=4)


def write_policy(folder, value):
    save_policy(folder, params(value), POLICY, small_inputs().dataset.items, 4, ["A statement."])


def read_policy(folder):
    """Its parameters; that they are a whole network's is checked once, in the tests of policies."""
    return read_manifest(folder, "policy").config, {
        name: array.tolist() for name, array in read_arrays(folder / "params.npz").items()
    }


class Judge:
    """Scores by state and item."""

    info = JudgeInfo("fixed", False, "none", "1", "", {}, "A test's judge, not an LLM.")

    def judge(self, requests):
        return [Judgement(np.array([(request.state * 7 + item) % 11 / 10 for item in request.items], np.float32),
                          ["answer"] * len(request.items)) for request in requests]  # fmt: skip


def judged(folder, random):
    candidates = CandidateConfig(similar=2, popular=1, random=random)
    with claimed(folder / "job", "a job"):
        run_job(
            small_inputs().dataset,
            Judge(),
            candidates,
            folder / "job",
            states_per_shard=30,
            progress=False,
            console=QUIET,
        )


CASES = [
    Case("json", *old_and_new(write_json, read_json, {"a": 1}, {"a": [2, 3]})),
    Case("arrays", *old_and_new(
        lambda path, value: write_arrays(path, {"x": np.full(3, value), "y": np.ones(2)}),
        lambda path: {name: array.tolist() for name, array in read_arrays(path).items()}, 1, 2)),
    Case("manifest", *old_and_new(write_thing, read_thing, "old", "new")),
    Case("checkpoints", lambda folder: checkpoints(folder, 4), lambda folder: checkpoints(folder, 6), restored,
         lambda folder: restored(folder)["b"] in (2, 4, 6), ((ocp, "save"),)),
    Case("study anew", results, lambda folder: opened(folder, 1), bytes_of),
    Case("study over another", results, lambda folder: opened(folder, 2), bytes_of, nothing_lost),
    Case("policy", *old_and_new(write_policy, read_policy, 1.0, 2.0), (PARQUET,)),
    Case("judged table", lambda folder: None, lambda folder: judged(folder, 1), bytes_of, natives=(PARQUET,)),
    Case("judged table over another", lambda folder: judged(folder, 0), lambda folder: judged(folder, 1), bytes_of, natives=(PARQUET,)),
    DATASET,
]  # fmt: skip


def main(names):
    """Tries the works of these names, all if there are none, and says of each how many faults ended how."""
    rows, wrong, works = [], 0, {case.name: case for case in (*CASES, *WHOLE)}
    if strange := [name for name in names if name not in works]:
        sys.exit(f"there is no work named {', '.join(strange)}; there are: {', '.join(works)}")
    for case in map(works.get, names or works):
        begun, tried = time.monotonic(), []
        with tempfile.TemporaryDirectory() as folder:
            for outcome in outcomes(case, Path(folder) / "case"):
                tried.append(outcome)
                print(line_of(outcome), flush=True)
        again = Counter(outcome.again.partition(":")[0] for outcome in tried if outcome.well)
        boundaries = len({outcome.boundary for outcome in tried})
        wrong += len(tried) - again.total()
        rows.append(f"{case.name:<26} {boundaries:>4} boundaries {len(tried):>4} faults {again['same']:>4} the same "
                    f"{again['refused']:>4} refused {time.monotonic() - begun:>6.0f} s")  # fmt: skip
    print(*rows, f"{wrong} faults were lost or silently wrong", sep="\n")
    return int(wrong > 0)


def line_of(outcome):
    ends = (outcome.first, outcome.between, outcome.again)
    told = " | ".join(f"{end.partition(':')[0] if outcome.well else end:<8}" for end in ends)
    return f"{outcome.case:<26} {outcome.boundary:>3} {outcome.operation:<32} {outcome.fault:<15} {told}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
