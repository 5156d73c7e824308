"""Texts as vectors: a sentence-embedding encoder's mean over a text's tokens, of length 1."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from ialp_jax.preferences.prompting.model_files import ModelFiles
from ialp_jax.preferences.prompting.torch_models import load, load_tokenizer


def sentence_vectors(
    files: ModelFiles, texts: Sequence[str], *, device: str, max_tokens: int, at_once: int
) -> Float[np.ndarray, "N D"]:
    """Encodes texts in float32: the mean of the last layer over the tokens the attention mask keeps, of length 1.

    Args:
        files: of the encoder.
        texts: rows of empty ones are zero.
        device: where it computes.
        max_tokens: of a text that are read; the model's own limit at most.
        at_once: texts in one forward pass.

    Raises:
        InputError: if transformers cannot load it.
    """
    import torch

    tokenizer, model = load_tokenizer(files), load("AutoModel", files, "float32", device)
    longest = min(
        max_tokens,
        tokenizer.model_max_length,
        files.language_config.get("max_position_embeddings", max_tokens),
    )
    encoded = [tokenizer(text, truncation=True, max_length=longest)["input_ids"] for text in texts]
    told = sorted((len(ids), place) for place, ids in enumerate(encoded) if texts[place].strip())
    vectors = np.zeros((len(texts), model.config.hidden_size), np.float32)
    with torch.inference_mode():
        for at in range(0, len(told), at_once):
            places = [place for _, place in told[at : at + at_once]]
            batch = tokenizer.pad(
                {"input_ids": [encoded[place] for place in places]}, return_tensors="pt"
            ).to(device)
            states = model(**batch).last_hidden_state
            mask = batch["attention_mask"][..., None].to(states.dtype)
            means = (states * mask).sum(1) / mask.sum(1)
            vectors[places] = torch.nn.functional.normalize(means, dim=-1).cpu().numpy()
    return vectors
