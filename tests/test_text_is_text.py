"""What comes from data, folders and other people's files is printed as it is: never as markup of the terminal."""

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from ialp_jax import environments
from ialp_jax.commands import check, envs
from ialp_jax.preferences.job.directory import set_aside
from ialp_jax.training.progress import step_bar

ODD = "[/] [red]odd[/red]"


@pytest.fixture
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")


def test_names_of_stages(wide):
    console = Console(file=io.StringIO(), width=200, force_terminal=True)
    with step_bar(ODD, console) as watch:
        watch.begin(10, 0)
    assert ODD in console.file.getvalue()


def test_descriptions_of_environments(wide, monkeypatch, capsys):
    odd = SimpleNamespace(load=None, domain=ODD, description=ODD)
    monkeypatch.setattr(environments, "names", lambda: [ODD])
    monkeypatch.setattr(environments, "get", lambda name: (name, odd))
    envs.run([])
    assert capsys.readouterr().out.count(ODD) == 3


def test_what_a_check_found(wide, monkeypatch, capsys):
    users = SimpleNamespace(num_users=3, num_items=2, source="logs")
    odd = SimpleNamespace(data=None, dataset=lambda *given: users)
    monkeypatch.setattr(environments, "get", lambda name: (ODD, odd))
    result = SimpleNamespace(name=ODD, detail=ODD, passed=True, warning=False)
    monkeypatch.setattr("ialp_jax.environments.check.check_environment", lambda *given: [result])
    with pytest.raises(SystemExit):
        check.run(["shop"])
    assert capsys.readouterr().out.count(ODD) == 3


def test_folders(tmp_path, wide):
    folder = tmp_path / "[red]job"
    folder.mkdir()
    console = Console(file=io.StringIO(), width=400)
    set_aside(folder, ODD, console)
    assert str(folder) in console.file.getvalue() and ODD in console.file.getvalue()
