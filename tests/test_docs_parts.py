"""What the page on other parts has a reader save is found, and passes its kit, in a copy of the package."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from marked_blocks import marked_block

import ialp_jax

PAGE = "docs/adding-other-parts.md"
FOLDERS = {"rule": "worlds/departure/named/bored.py", "encoder": "policies/encoders/named/recent.py"}
USED = """
from ialp_jax.policies.config import PolicyConfig
from ialp_jax.worlds.departure import REASONS
from ialp_jax.worlds.simulator import SimulatorConfig

def test_they_are_choices_of_a_study():
    assert PolicyConfig(encoder="recent").encoder == "recent"
    assert SimulatorConfig(rules=("bored", "distance")).rules[0] == REASONS[-1] == "bored"
"""


@pytest.mark.slow
def test_a_rule_and_an_encoder_are_one_file_each(tmp_path):
    shutil.copytree(
        Path(ialp_jax.__file__).parent, tmp_path / "ialp_jax", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name, file in FOLDERS.items():
        (tmp_path / "ialp_jax" / file).write_text(marked_block(PAGE, name), encoding="utf-8")
    kits = "\n\n".join(marked_block(PAGE, f"{name}-kit") for name in FOLDERS)
    (tmp_path / "test_parts.py").write_text(kits + USED, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_parts.py"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and "13 passed" in done.stdout, done.stdout[-3000:]
