"""The judge in a process that nobody has prepared, as a command starts it, on a machine without a compiler."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

JUDGE = """
import sys
{first}
from asked import OPTIONS, PLAIN, make_requests
from ialp_jax.preferences.judges.vllm import Config, build
requests = make_requests(PLAIN, states=1, per_state=2)
judge = build(requests.context, Config(model=sys.argv[1], **OPTIONS))
(judgement,) = judge.judge([requests.make(0)])
import torch
assert torch._dynamo.config.disable
assert judgement.scores.shape == (2,) and (judgement.scores > 0).all()
"""


@pytest.mark.parametrize("first", ["", "import torch._dynamo.config"])
def test_nothing_is_compiled_on_a_cpu(qwen, tmp_path, first):
    kept = {name: value for name, value in os.environ.items() if name in ("LD_LIBRARY_PATH", "LD_PRELOAD")}
    (tmp_path / "lscpu").symlink_to(str(shutil.which("lscpu")))  # all that vLLM calls
    clean = {
        "PATH": str(tmp_path),
        "HOME": str(tmp_path),
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(Path(__file__).parent),
        **kept,
    }
    script = JUDGE.format(first=first)
    done = subprocess.run(
        [sys.executable, "-c", script, str(qwen)], env=clean, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
