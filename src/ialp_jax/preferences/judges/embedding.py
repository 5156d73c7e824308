"""Text similarity by a sentence-embedding encoder, and popularity, calibrated to a probability. No language model judges.

Alike are the mean of the history's item vectors, weighted by grade, and the item's vector, by their cosine; `held_out_fit`
says how a probability comes of it, with the content judge's own code. The vectors are made once per catalogue and kept.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ialp_jax.artifacts import fingerprint
from ialp_jax.data.dataset import Dataset
from ialp_jax.preferences.dense_similarity import DenseSimilarity
from ialp_jax.preferences.held_out_fit import CALIBRATED, FitConfig
from ialp_jax.preferences.judges.base import JudgeContext, JudgeInfo
from ialp_jax.preferences.prompting.kept import cache_folder, kept_arrays
from ialp_jax.preferences.prompting.model_files import ModelFiles, find_model, size_in_words
from ialp_jax.preferences.prompting.sentence_vectors import sentence_vectors
from ialp_jax.preferences.prompting.torch_models import Device, chosen_device, require_torch
from ialp_jax.preferences.similarity_judge import SimilarityJudge, fitted, logs_of
from ialp_jax.preferences.states import documents
from ialp_jax.ranges import Count
from ialp_jax.values import checked

READS_LOGS = True
"""The command that judges a job's files hands this judge the logs they were made from."""
REVISION = "1"


@dataclass(frozen=True)
@checked
class Config(FitConfig):
    """Settings of the embedding judge, beside those of its fit.

    Attributes:
        model: folder of the encoder, or its name on the hub.
        revision: commit on the hub; the newest if left out.
        attributes: also read an item's attributes and categories, not only its title.
        max_tokens: of an item's text that are read; the model's own limit at most.
        device: where it computes; auto is a GPU where there is one.
        texts_at_once: in one forward pass.
        cache: folder where the vectors are kept; ~/.cache/ialp-jax if left out.
    """

    model: str = ""
    revision: str | None = None
    attributes: bool = True
    max_tokens: Count = 256
    device: Device = "auto"
    texts_at_once: Count = 32
    cache: Path | None = None


def build(context: JudgeContext, config: Config) -> SimilarityJudge:
    """Makes the vectors, or reads them, and fits the judge to the offline users' logs.

    Raises:
        InputError: if there is no such model, PyTorch or transformers is not installed, there are no logs, or no offline
            user's held-out interactions to calibrate with.
    """
    versions = require_torch("embedding")
    dataset = logs_of(context, "embedding", "judge with ialp prefs judge OUT embedding, without --engine ray")
    files = find_model(config.model, config.revision)
    similarity = DenseSimilarity(_vectors(dataset, config, files, versions))
    return fitted(dataset, similarity, config, lambda fit: _info(config, files, versions, fit))


def _vectors(
    dataset: Dataset, config: Config, files: ModelFiles, versions: dict[str, str]
) -> Float[np.ndarray, "N D"]:
    texts = documents(dataset) if config.attributes else dataset.items["title"].to_list()
    device = chosen_device(config.device)
    name = fingerprint(
        "vectors", REVISION, files.revision, versions, device, config.max_tokens, config.texts_at_once, texts
    )

    def make() -> dict[str, np.ndarray]:
        return {"vectors": sentence_vectors(files, texts, device=device, max_tokens=config.max_tokens,
                                            at_once=config.texts_at_once)}  # fmt: skip

    shapes = {"vectors": (len(texts), int(files.language_config["hidden_size"]))}
    return kept_arrays(cache_folder(config.cache) / "embedding", name, shapes, make)["vectors"]


def _info(config: Config, files: ModelFiles, versions: dict[str, str], fit: dict[str, Any]) -> JudgeInfo:
    test_double = files.kind == "test_double"
    who = ("TEST DOUBLE: an encoder of random weights scored" if test_double
           else f"No language model judged: the sentence-embedding encoder {files.name} ({size_in_words(files) or 'of unknown size'}, "
           "float32) scored")  # fmt: skip
    read = "title, attributes and categories" if config.attributes else "title"
    prior = (
        ", and how many other offline users met the item (popularity prior)"
        if config.popularity_prior
        else ""
    )
    names = ("popularity_prior", "negatives", "seed", "attributes", "max_tokens", "texts_at_once")
    return JudgeInfo(
        name="embedding",
        is_llm=False,
        model=files.name,
        revision=files.revision,
        template_hash="",
        settings={name: getattr(config, name) for name in names} | {"dtype": "float32"} | versions | fit,
        statement=f"{who} how alike its vectors of the user's history and of the item are ({read}){prior}, {CALIBRATED}. "
        f"{files.statement}".strip(),
        test_double=test_double,
    )  # fmt: skip
