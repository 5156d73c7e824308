"""A finished folder: a method is added to it and only its stages run, also where an earlier commit wrote it.

tests/golden/finished_run was written by the command in its config.json when stages got their keys. It must stay resumable: a
field added to a configuration since then says by `Since` which value means what was meant before.
"""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import pytest
from earlier import earlier
from tiny_study import TINY

import ialp_jax
from ialp_jax.artifacts import InputError, read_json
from ialp_jax.marks import Since
from ialp_jax.study.config import StudyConfig
from ialp_jax.study.stages import identity

pytestmark = pytest.mark.usefixtures("batched_keys")
GOLDEN = Path(__file__).parents[1] / "golden" / "finished_run"
SETTINGS = {
    "seeds": 2, "policy.embedding": 4, "policy.hidden": 4, "evaluation.sessions": 8, "loop.chunk": 2, "online.users": 8,
    "online.rollout": 4, "online.updates": 12, "online.pool": 4, "online.bins": 4,
}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """A copy of the finished run, beside its environment's file."""
    shutil.copytree(GOLDEN, tmp_path / "out")
    (tmp_path / "tiny.py").write_text(TINY, encoding="utf-8")
    return tmp_path


def resumed(folder, methods, **changes):
    return ialp_jax.train(str(folder / "tiny.py"), out=folder / "out", methods=methods, resume=True, quiet=True,
                          **SETTINGS | earlier(methods) | changes)  # fmt: skip


def run_states(folder):
    """When every run state was written, by its folder."""
    return {path.relative_to(folder).as_posix(): path.stat().st_mtime_ns
            for path in folder.glob("out/checkpoints/*/*/state")}  # fmt: skip


@pytest.mark.slow
def test_a_method_is_added_to_a_folder_of_an_earlier_commit_and_only_its_stage_runs(folder):
    before = run_states(folder)
    assert {path.split("/")[2].rsplit("-", 1)[0] for path in before} == {"a2c", "random"}
    resumed(folder, ["random", "a2c", "popular"])
    after = run_states(folder)
    assert {path: after[path] for path in before} == before
    assert [path.split("/")[2].rsplit("-", 1)[0] for path in after if path not in before] == ["popular"]
    stored, now = (read_json(path / "results.json")["methods"] for path in (GOLDEN, folder / "out"))
    for name, method in stored.items():
        for metric, values in method["per_seed"].items():
            np.testing.assert_allclose(
                now[name]["per_seed"][metric], values, rtol=1e-5, err_msg=f"{name}/{metric}"
            )
    assert set(read_json(folder / "out" / "config.json")["stages"]) == {"random", "a2c", "popular"}


@pytest.mark.slow
def test_other_numbers_of_a_method_are_refused_and_those_of_another_are_not(folder):
    before = run_states(folder)
    with pytest.raises(InputError, match=r"another configuration \(study\.methods\.a2c\.entropy\)"):
        resumed(folder, ["random", "a2c"], **{"methods.a2c.entropy": 0.5})
    with pytest.raises(InputError, match=r"study\.online\.users"):
        resumed(folder, ["random"], **{"online.users": 4})
    resumed(folder, ["random"], **{"evaluation.sessions": 4})  # how precisely is no part of what was trained
    assert run_states(folder) == before
    assert set(read_json(folder / "out" / "config.json")["stages"]) == {
        "random",
        "a2c",
    }  # a2c may be asked for again


@dataclass(frozen=True)
class Later(StudyConfig):
    """A study of a later version, with a field that means what was meant before while it is False."""

    warm_up: Annotated[bool, Since(neutral=False)] = False


def test_a_field_added_later_is_no_part_of_the_key_while_it_is_neutral():
    earlier, later = StudyConfig(methods=("a2c",)), Later(methods=("a2c",))
    assert identity(later) == identity(earlier)
    assert identity(replace(later, warm_up=True)) != identity(earlier)
