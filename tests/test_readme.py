"""What the README shows is executed: fenced blocks below a comment `<!-- test: NAME -->`."""

import csv
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from marked_blocks import MARKED_PAGES, ROOT, marked_block, marked_blocks

from ialp_jax import environments
from ialp_jax.data.build import DataConfig

block = partial(marked_block, "README.md")


@pytest.mark.parametrize("page", MARKED_PAGES)
def test_every_marked_python_block_is_python(page):
    assert marked_blocks(page)
    for name, (language, code) in marked_blocks(page).items():
        if language == "python":
            compile(code, f"{page}:{name}", "exec")


def write_logs(folder):
    """Invented plays of 30 players and 25 games, in the columns the README names."""
    generator = np.random.default_rng(0)
    with open(folder / "games.csv", "w", newline="") as stream:
        rows = [(f"g{game}", f"Game, the {game}th", ("puzzle", "racing")[game % 2]) for game in range(25)]
        csv.writer(stream).writerows([("game", "title", "genre"), *rows])
    with open(folder / "plays.csv", "w", newline="") as stream:
        rows = [
            (f"p{player}", f"g{game}", round(float(generator.exponential(9)) + 0.1, 1))
            for player in range(30) for game in generator.permutation(25)[:12]
        ]  # fmt: skip
        csv.writer(stream).writerows([("user", "game", "hours"), *rows])


def test_an_environment_from_the_readme_reads_a_newcomers_logs(tmp_path):
    code = block("environment")
    assert len([line for line in code.splitlines() if line.strip()]) < 20
    path = tmp_path / "own.py"
    path.write_text(code, encoding="utf-8")
    write_logs(tmp_path)
    name, environment = environments.get(str(path))
    dataset = environment.dataset(tmp_path, DataConfig(), name)
    assert dataset.source == "logs" and dataset.domain == environment.domain
    assert dataset.num_users == 30 and 20 <= dataset.num_items <= 25
    assert {name for names in dataset.items["categories"].to_list() for name in names} == {"puzzle", "racing"}


def test_the_part_of_the_suite_that_ci_runs_on_every_python_exists():
    """pytest runs nothing at all where one of the paths it is given is missing."""
    assigned = re.search(r"^PART := ((?:.*\\\n)*.*)$", (ROOT / "Makefile").read_text("utf-8"), re.M)
    paths = assigned.group(1).replace("\\\n", " ").split()
    assert len(paths) > 1
    for path in paths:
        file, _, name = path.partition("::")
        assert (ROOT / "tests" / file).exists(), f"the Makefile's PART names tests/{file}, which is not there"
        assert f"def {name}(" in (ROOT / "tests" / file).read_text("utf-8") if name else True


def test_bash_blocks_are_commands_that_exist():
    """Every `make` target and `ialp` command that the README shows."""
    text = "\n".join(
        re.findall(r"^```bash\n(.*?)^```$", (ROOT / "README.md").read_text("utf-8"), re.M | re.S)
    )
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    shown = set(re.findall(r"^\s*make ([a-z-]+)", text, re.M))
    assert shown and shown <= targets
    done = subprocess.run([Path(sys.executable).parent / "ialp"], capture_output=True, text=True, check=False)
    commands = set(re.findall(r"^\s+([a-z]+)\s", done.stderr, re.M))
    used = set(re.findall(r"\bialp ([a-z]+)\b", (ROOT / "README.md").read_text("utf-8"))) - {"for"}
    assert {"train", "envs"} <= commands and used <= commands


def test_a_policy_is_used_as_the_readme_says(tmp_path, monkeypatch, capsys):
    import polars as pl
    from tiny_runs import tiny_network, tiny_params

    from ialp_jax.policies.artifact import save_policy

    network = tiny_network(40)
    names = [str(item) for item in range(40)]
    items = pl.DataFrame({"item": pl.Series(range(40), dtype=pl.Int32), "raw_id": names, "title": names})
    save_policy(
        tmp_path / "runs" / "steam" / "policy", tiny_params(network), network.module.config, items, 4, []
    )
    monkeypatch.chdir(tmp_path)
    exec(compile(block("policy"), "README.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert float(lines[0].split()[-1]) == pytest.approx(0.1, abs=0.1)
