"""Settings of vLLM's process, made before anything imports it, and the tiny models every test shares."""

import os
from pathlib import Path

import pytest

for name, value in {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # the engine in this process: 2 s to start instead of 12
    "TORCH_COMPILE_DISABLE": "1",  # no compiler needed, no 20 s for the first log probabilities
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
}.items():
    os.environ.setdefault(name, value)

from asked import OPTIONS  # noqa: E402
from tiny_models import make_model  # noqa: E402

from ialp_jax.preferences.job.requests import Requests  # noqa: E402
from ialp_jax.preferences.judges.vllm import Config, VLLMJudge, build  # noqa: E402


@pytest.fixture(scope="session")
def qwen(tmp_path_factory) -> Path:
    """Folder of a tiny random Qwen3 with thinking in its template."""
    return make_model(tmp_path_factory.mktemp("models") / "qwen", "qwen")


@pytest.fixture(scope="session")
def llama(tmp_path_factory) -> Path:
    """Folder of a tiny random Llama with Llama 3's template, whose tokenizer adds a start token by itself."""
    return make_model(tmp_path_factory.mktemp("models") / "llama", "llama")


@pytest.fixture(scope="session")
def judge_of():
    """Judges by model and mode. They live as long as the session: the end of one engine ends all others of a process."""
    made: dict[tuple, VLLMJudge] = {}

    def judge(folder: Path, requests: Requests, mode: str = "pointwise", **options) -> VLLMJudge:
        key = (folder, mode, *sorted(options.items()))
        if key not in made:
            config = Config(model=str(folder), mode=mode, **(OPTIONS | options))  # type: ignore[arg-type]
            made[key] = build(requests.context, config)
        return made[key]

    return judge
