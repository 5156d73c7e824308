"""Environments by name, by file, and what is said of names that do not exist."""

import subprocess
import sys
from pathlib import Path

import pytest

from ialp_jax import environments
from ialp_jax.artifacts import InputError
from ialp_jax.data.build import DataConfig
from ialp_jax.environments.logs import Logs

OWN = """
from ialp_jax.data.synthetic import SyntheticConfig
from ialp_jax.environments import Environment, register

@register("{name}")
def own():
    return Environment("{text}", synthetic=SyntheticConfig(num_users=40, num_items=30, mean_interactions=9.0))
"""


def write(folder, name="own", text="my users", file="own.py"):
    path = folder / file
    path.write_text(OWN.format(name=name, text=text), encoding="utf-8")
    return str(path)


def test_the_embedded_environments_are_found():
    names = environments.names()
    assert {"steam", "lfm", "coat", "synthetic"} <= set(names) and names == sorted(names)
    for name in ("steam", "lfm", "coat", "synthetic"):
        found, environment = environments.get(name)
        assert found == name and environment.description


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(InputError, match=r"no environment 'stem'.*steam.*\.py file"):
        environments.get("stem")


def test_a_file_registers_an_environment(tmp_path):
    name, environment = environments.get(write(tmp_path))
    assert (name, environment.description) == ("own", "my users")
    dataset = environment.dataset(None, DataConfig(k_core=2), name)
    assert dataset.name == "own" and dataset.source == "synthetic" and 2 <= dataset.num_items <= 30


def test_a_changed_file_is_read_again(tmp_path):
    assert environments.get(write(tmp_path))[1].description == "my users"
    assert environments.get(write(tmp_path, text="others"))[1].description == "others"


def test_files_that_offer_nothing_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        environments.get(str(tmp_path / "missing.py"))
    empty = tmp_path / "empty.py"
    empty.write_text("")
    with pytest.raises(InputError, match="registers no environment"):
        environments.get(str(empty))


def test_a_synthetic_environment_reads_no_logs(tmp_path):
    name, environment = environments.get("synthetic")
    with pytest.raises(InputError, match="always synthetic"):
        environment.dataset(tmp_path, DataConfig(), name)


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    name, environment = environments.get("steam")
    with pytest.raises(InputError, match=r"nowhere: there is no such folder"):
        environment.dataset(tmp_path / "nowhere", DataConfig(), name)


def test_the_command_lists_them():
    ialp = Path(sys.executable).parent / "ialp"
    done = subprocess.run([ialp, "envs"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in ("steam", "lfm", "coat", "synthetic"))


def test_a_file_that_imports_what_has_moved_is_told_where_to(tmp_path):
    old = tmp_path / "old.py"
    old.write_text("from ialp_jax.envs.simulator import SimulatorConfig\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"old\.py: it imports ialp_jax\.envs.*ialp_jax\.worlds"):
        environments.get(str(old))
    old.write_text("import a_package_nobody_has\n", encoding="utf-8")
    with pytest.raises(ModuleNotFoundError, match="a_package_nobody_has"):
        environments.get(str(old))


def test_a_name_is_registered_once(tmp_path):
    with pytest.raises(
        InputError, match=r"own\.py: .*'steam' is registered already.*steam\.py.*another name"
    ):
        environments.get(write(tmp_path, name="steam"))
    write(tmp_path)
    twice = tmp_path / "own.py"
    twice.write_text(twice.read_text() * 2, encoding="utf-8")
    with pytest.raises(InputError, match="'own' is registered already"):
        environments.get(str(twice))
    assert "own" not in environments.names() and environments.get("steam")[1].description != "my users"


LOGS = Logs("synthetic", None, DataConfig()).record()


@pytest.mark.parametrize("damaged", [
    *({name: value for name, value in LOGS.items() if name != missing} for missing in LOGS),
    LOGS | {"config": []}, LOGS | {"data": 3}, LOGS | {"env": None}, [LOGS], "logs",
])  # fmt: skip
def test_a_damaged_record_of_logs_is_refused_with_its_file(damaged):
    assert Logs.of(LOGS, Path("here")) == Logs("synthetic", None, DataConfig())
    with pytest.raises(InputError, match=r"file here.* Fix: make the file again"):
        Logs.of(damaged, Path("here"))
