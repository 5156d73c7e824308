"""Models run by PyTorch and transformers alone: what must be installed, and where and how precisely they compute."""

import importlib.metadata
from importlib.util import find_spec
from typing import Any, Literal, get_args

from ialp_jax.artifacts import InputError
from ialp_jax.preferences.prompting.model_files import ModelFiles
from ialp_jax.preferences.prompting.vllm_engine import Dtype, has_bfloat16

Device = Literal["auto", "cpu", "cuda"]
NEEDED = ("torch", "transformers")


def require_torch(judge: str) -> dict[str, str]:
    """Versions of what such a judge needs; nothing is imported.

    Args:
        judge: its name, for the message.

    Raises:
        InputError: if something is not installed.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise InputError(f"the judge {judge!r} needs {' and '.join(missing)}, not installed in this environment",
                         column="judge", fix=f"run make prefs JUDGE={judge} ..., or install ialp-jax[transformers]")  # fmt: skip
    return {name: importlib.metadata.version(name) for name in NEEDED}


def chosen_device(device: Device) -> str:
    """Where to compute: for `auto` a GPU where there is one.

    Raises:
        InputError: if a GPU is asked for and there is none.
    """
    import torch

    there = torch.cuda.is_available()
    if device == "cuda" and not there:
        raise InputError(
            "PyTorch finds no GPU here", column="device", fix="use --device cpu, or look at the GPU's driver"
        )
    return ("cuda" if there else "cpu") if device == "auto" else device


def precision(dtype: Dtype, device: str, files: ModelFiles) -> Dtype:
    """The precision to compute in; for `auto` the one its configuration names, if it does, and float32 on a CPU that has no
    instructions for bfloat16."""
    if dtype != "auto":
        return dtype
    if device == "cpu" and not has_bfloat16():
        return "float32"
    own: Any = files.language_config.get("dtype") or files.language_config.get("torch_dtype")
    named: Dtype = own if own in get_args(Dtype) else "auto"
    return named


def load(kind: str, files: ModelFiles, dtype: Dtype, device: str) -> Any:
    """A model, ready to be asked.

    Args:
        kind: its class of transformers, such as "AutoModel".
        files: of the model.
        dtype: of weights and activations; "auto" is the model's own.
        device: where it computes.

    Raises:
        InputError: if transformers cannot load it, or it lacks weights, for which random ones would stand in.
    """
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    of = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "auto": "auto"}
    revision = files.revision if files.on_hub else None
    try:
        model, told = getattr(transformers, kind).from_pretrained(
            files.path, revision=revision, dtype=of[dtype], output_loading_info=True
        )
    except (ValueError, OSError) as error:
        raise InputError(f"transformers cannot load it as {kind} ({_first_line(error)})", file=files.path,
                         column="model", fix="give a folder that transformers itself wrote, of another kind of model") from error  # fmt: skip
    missing = sorted(name for name in told["missing_keys"] if "pooler" not in name)  # which nobody reads
    if missing:
        raise InputError(f"as {kind} it lacks weights ({missing[0]} and {len(missing) - 1} more)", file=files.path,
                         column="model", fix="give a folder with all of them, of a causal language model or of an encoder as the "
                         "judge needs it")  # fmt: skip
    return model.to(device).eval()


def load_tokenizer(files: ModelFiles) -> Any:
    """The model's tokenizer.

    Raises:
        InputError: if there is none.
    """
    from transformers import AutoTokenizer

    problem = "it knows no letter"
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            files.path, revision=files.revision if files.on_hub else None
        )
        if tokenizer("a", add_special_tokens=False)["input_ids"]:
            return tokenizer
    except (ValueError, OSError) as error:
        problem = _first_line(error)
    raise InputError(f"its tokenizer cannot be used ({problem})", file=files.path, column="model",
                     fix="give a folder with the tokenizer's files beside config.json")  # fmt: skip


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
