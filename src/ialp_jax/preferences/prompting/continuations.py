"""How probable a causal language model makes several continuations of one text, which is computed once."""

import copy
import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from ialp_jax.artifacts import InputError
from ialp_jax.preferences.prompting.model_files import ModelFiles
from ialp_jax.preferences.prompting.torch_models import load
from ialp_jax.preferences.prompting.vllm_engine import Dtype

CACHE_NAMES = ("cache", "past_key_values")
"""What transformers calls a text's keys and values: from 5.24 on, and before."""


class ContinuationModel:
    """A model that is asked for probabilities only.

    Attributes:
        computed: tokens it was fed so far; what fills a batch up is not counted.
    """

    def __init__(self, model: Any, device: str, at_once: int) -> None:
        self._model = model
        self._device = device
        self._at_once = at_once
        taken = inspect.signature(model.forward).parameters
        self._cache_name = next((name for name in CACHE_NAMES if name in taken), "")
        self.computed = 0

    @classmethod
    def of(cls, files: ModelFiles, dtype: Dtype, device: str, at_once: int) -> "ContinuationModel":
        """Loads it.

        Args:
            files: of the model.
            dtype: of weights and activations.
            device: where it computes.
            at_once: continuations in one forward pass.
        """
        return cls(load("AutoModelForCausalLM", files, dtype, device), device, at_once)

    def log_p(
        self, text: Sequence[int], continuations: Sequence[Sequence[int]]
    ) -> list[Float[np.ndarray, " T"]]:
        """Log-probability of every token of every continuation, each after the text and nothing else.

        The text's keys and values are computed once and handed to every batch of continuations. A batch is filled up on
        the right, where no token of a continuation looks. The last token of a continuation is never fed.

        Args:
            text: token ids, at least one.
            continuations: token ids, at least one each.

        Raises:
            InputError: if the model keeps no cache that can be handed on.
        """
        import torch

        with torch.inference_mode():
            start = self._model(input_ids=self._tensor([list(text)]), use_cache=True)
            self.computed += len(text)
            first = start.logits[0, -1].float().log_softmax(-1).cpu().numpy().astype(np.float64)
            found = [np.full(len(ids), first[ids[0]]) for ids in continuations]
            # Equal lengths side by side; which batch a continuation is in depends on this call alone.
            longer = sorted((len(ids), place) for place, ids in enumerate(continuations) if len(ids) > 1)
            for at in range(0, len(longer), self._at_once):
                places = [place for _, place in longer[at : at + self._at_once]]
                rows = self._batch(
                    getattr(start, self._cache_name, None), [continuations[place] for place in places]
                )
                for place, row in zip(places, rows, strict=True):
                    found[place][1:] = row
        return found

    def _batch(self, cache: Any, continuations: list[Sequence[int]]) -> list[Float[np.ndarray, " T"]]:
        """Of each continuation, the log-probabilities of all tokens but the first."""
        if not hasattr(cache, "batch_repeat_interleave"):
            raise InputError("the model keeps no cache of keys and values that several continuations could share",
                             column="model", fix="use a transformer that does, such as Llama, Qwen or Gemma")  # fmt: skip
        width = max(map(len, continuations)) - 1
        past = copy.deepcopy(cache)  # the model writes into what it is handed
        past.batch_repeat_interleave(len(continuations))
        fed = self._tensor([[*ids[:-1], *[0] * (width + 1 - len(ids))] for ids in continuations])
        asked = self._tensor([[*ids[1:], *[0] * (width + 1 - len(ids))] for ids in continuations])
        logits = self._model(input_ids=fed, **{self._cache_name: past}, use_cache=True).logits.float()
        self.computed += sum(len(ids) - 1 for ids in continuations)
        log_p = logits.gather(-1, asked[..., None])[..., 0] - logits.logsumexp(-1)
        return [row[: len(ids) - 1] for row, ids in zip(log_p.cpu().numpy(), continuations, strict=True)]

    def _tensor(self, ids: list[list[int]]) -> Any:
        import torch

        return torch.tensor(ids, device=self._device)
