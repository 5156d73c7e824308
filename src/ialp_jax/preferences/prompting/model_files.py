"""What a model is, without loading it: exact version, size, and what its folder says of its origin."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from ialp_jax.artifacts import InputError, fingerprint, hash_file, read_json
from ialp_jax.values import checked

NOTE = "ialp_model.json"
"""A model's folder may hold this file: {"kind": one of `Kind`, "statement": a sentence for the reader}."""

Kind = Literal["general", "trained_on_logs", "test_double"]


@dataclass(frozen=True)
@checked
class ModelFiles:
    """A model on disk or on a hub.

    Attributes:
        name: as reports show it: the hub's name, or the folder's.
        path: what to load.
        revision: hash of the folder's files, or the hub's commit.
        kind: a general language model, one trained on logs for this task, or random weights.
        statement: what the folder says of the model, "" if nothing.
        config: its `config.json`.
        on_hub: whether `path` is a hub's name and `revision` a commit there.
    """

    name: str
    path: str
    revision: str
    kind: Kind
    statement: str
    config: dict[str, Any]
    on_hub: bool = False

    @property
    def language_config(self) -> dict[str, Any]:
        """Settings of the part that reads and writes text, what its family leaves out by default included.

        Models of several kinds of input keep them apart (`text_config`). Of a family that transformers does not know, as an
        engine may know it all the same, they are what the file says.

        Raises:
            InputError: if it is such a family, and the file leaves out how large the model is.
        """
        from transformers import AutoConfig

        try:
            config = AutoConfig.from_pretrained(self.path, revision=self.revision if self.on_hub else None)
        except ValueError as error:
            told: dict[str, Any] = self.config.get("text_config", self.config)
            if "num_attention_heads" in told:
                return told
            kind = self.config.get("model_type")
            raise InputError(f"this version of transformers knows no model of type {kind!r}, and config.json leaves out its size", file=self.path,
                             column="model_type", fix="use another model, or a newer vLLM with its transformers") from error  # fmt: skip
        settings: dict[str, Any] = config.get_text_config().to_dict()
        return settings

    def named(self, dtype: str) -> str:
        """Name, size and precision, as a statement says them; `dtype` "auto" is the model's own."""
        precision = "its own precision" if dtype == "auto" else dtype
        return f"{self.name} ({', '.join(filter(None, (size_in_words(self), precision)))})"

    def who_judged(self, dtype: str, test_double: bool) -> str:
        """The beginning of a judge's statement: what kind of model judged."""
        if test_double:
            return f"TEST DOUBLE: {self.name}, a model of random weights, stood in for a language model"
        if self.kind == "trained_on_logs":
            return f"{self.named(dtype)}, a small model trained on logs and not a general LLM, judged"
        return f"The language model {self.named(dtype)} judged"


def find_model(model: str, revision: str | None) -> ModelFiles:
    """Looks at a model's folder, or asks the hub for the exact commit of a name.

    Raises:
        InputError: if there is neither, it is no Hugging Face model, or the folder's note is malformed.
    """
    if not model:
        raise InputError("no model was given", column="model", fix="give a folder or a hub name, MODEL=...")
    folder = Path(model)
    if folder.is_file():
        raise _no_model(folder, [folder])
    if not folder.is_dir():
        return _on_hub(model, revision)
    if not (folder / "config.json").exists():
        raise _no_model(folder, sorted(folder.iterdir()))
    files = {str(path.relative_to(folder)): hash_file(path)
             for path in sorted(folder.rglob("*")) if path.is_file()}  # fmt: skip
    note: dict[str, Any] = read_json(folder / NOTE) if (folder / NOTE).exists() else {}
    kind = note.get("kind", "general")
    if kind not in get_args(Kind):
        raise InputError(f"the kind is {kind!r}", file=folder / NOTE, column="kind",
                         fix=f"give one of {', '.join(get_args(Kind))}")  # fmt: skip
    config = read_json(folder / "config.json")
    return ModelFiles(folder.resolve().name, str(folder), fingerprint(files), kind,
                      note.get("statement", ""), config)  # fmt: skip


def _no_model(place: Path, files: list[Path]) -> InputError:
    """Why a place is no model's folder."""
    if any(path.suffix == ".gguf" for path in files):
        return InputError("it is a GGUF model, packed for llama.cpp", file=place, column="model",
                          fix="give the folder of the Hugging Face model it was made from, or serve it "
                          "with llama.cpp and judge with openai --base-url ...")  # fmt: skip
    return InputError("it is no folder of a Hugging Face model: there is no config.json", file=place, column="model",
                      fix="give a folder with config.json, the weights as .safetensors and the tokenizer's files")  # fmt: skip


def _on_hub(model: str, revision: str | None) -> ModelFiles:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        path = Path(hf_hub_download(model, "config.json", revision=revision))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise InputError(f"there is no folder and no model on the hub called {model!r} ({type(error).__name__})",
                         column="model", fix="give the path of a model's folder, or a hub name this machine can reach",
                         ) from error  # fmt: skip
    # .../snapshots/COMMIT/config.json
    return ModelFiles(
        model, model, path.parent.name, "general", "", json.loads(path.read_text("utf-8")), on_hub=True
    )


def parameters(files: ModelFiles) -> int:
    """Number of parameters, from the headers of the safetensors files.

    Raises:
        InputError: if the model has none.
    """
    if files.on_hub:
        from huggingface_hub import get_safetensors_metadata

        return sum(get_safetensors_metadata(files.path, revision=files.revision).parameter_count.values())
    found = sorted(Path(files.path).glob("*.safetensors"))
    if not found:
        raise InputError(
            "the folder holds no .safetensors file", file=files.path, fix="save the model as safetensors"
        )
    from safetensors import safe_open

    total = 0
    for path in found:
        with safe_open(path, "numpy") as stored:
            for name in stored.keys():  # noqa: SIM118 - not a mapping
                size = 1
                for length in stored.get_slice(name).get_shape():
                    size *= length
                total += size
    return total


def size_in_words(files: ModelFiles) -> str:
    """What a reader must know to judge a judge: how large the model is, or how its weights were packed.

    "" where only the name tells: on a hub nothing more is asked for, and other files than .safetensors are not opened.
    """
    packed = files.config.get("quantization_config") or {}
    if packed:
        return f"weights quantised by {packed.get('quant_method', 'an unnamed method')}"
    if files.on_hub or not any(Path(files.path).glob("*.safetensors")):
        return ""
    number = parameters(files)
    return f"{number / 1e9:.1f} B parameters" if number >= 1e9 else f"{number / 1e6:.3g} M parameters"
