"""How probable a causal language model makes an item's title after words about what the user liked.

No question is asked: a model serves that has no chat template and follows no instruction. What the user liked is computed
once, and every title goes on from there alone. Two scores come of log P(title | liked):

- whole: exp(log P(title | liked) / number of tokens): the geometric mean of its tokens' probabilities, with all that makes a
  title probable, its fame above all.
- personal: sigmoid(log P(title | liked) - log P(title | the same words about nobody)), sums over the title's tokens: the
  probability that the title was said about this user rather than about nobody, both being as probable beforehand.

What is said about nobody is computed once for the whole catalogue, for the score personal, and kept. Its cost stands at the
first pair of state 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float
from scipy.special import expit

from ialp_jax.artifacts import InputError, fingerprint
from ialp_jax.preferences.judges.base import (
    JudgeContext,
    JudgeInfo,
    Judgement,
    JudgeRequest,
    Usage,
    require_known,
)
from ialp_jax.preferences.prompting.continuations import ContinuationModel
from ialp_jax.preferences.prompting.frames import Framing, continuation, frame, frame_hash, liked
from ialp_jax.preferences.prompting.kept import cache_folder, kept_arrays
from ialp_jax.preferences.prompting.layout import encode
from ialp_jax.preferences.prompting.model_files import ModelFiles, find_model
from ialp_jax.preferences.prompting.torch_models import (
    Device,
    chosen_device,
    load_tokenizer,
    precision,
    require_torch,
)
from ialp_jax.preferences.prompting.vllm_engine import Dtype
from ialp_jax.preferences.prompting.vllm_outputs import too_long
from ialp_jax.ranges import Count, Share
from ialp_jax.values import checked


@dataclass(frozen=True)
@checked
class Config:
    """Settings of the likelihood judge."""

    tensor_parallel: ClassVar[int] = 1
    """GPUs of one process (`--replicas`)."""

    model: str = ""
    """Folder of the model, or its name on the hub."""
    revision: str | None = None
    """Commit on the hub; the newest if left out."""
    score: Literal["whole", "personal"] = "whole"
    """whole: how probable the title is after what the user liked, per token; personal: how much more probable than about
    nobody."""
    framing: Framing = "sentence"
    """A sentence about a person who liked the history's items, or a list of favourites."""
    most_liked: Count = 10
    """Items of the history that are told, those of the highest grades."""
    least_grade: Share = 0.4
    """Items of the history of a lower grade are not told as liked."""
    dtype: Dtype = "auto"
    """Precision of weights and activations; auto is the model's own, and float32 on a CPU without instructions for bfloat16."""
    device: Device = "auto"
    """Where it computes; auto is a GPU where there is one."""
    max_model_len: Count = 4096
    """Longest text in tokens, the model's own limit at most; a longer one is rejected."""
    titles_at_once: Count = 32
    """Titles in one forward pass."""
    cache: Path | None = None
    """Folder where what is said about nobody is kept; ~/.cache/ialp-jax if left out."""
    test_double: bool = False
    """The model has random weights: nothing it says is evidence, and every report says so in red."""


def build(context: JudgeContext, config: Config) -> "LikelihoodJudge":
    """Looks at the model's files; the model is loaded when the first request comes.

    Raises:
        InputError: if there is no such model, PyTorch or transformers is not installed, or the titles are not known.
    """
    versions = require_torch("likelihood")
    if context.titles is None:
        raise InputError("an earlier version planned this job and kept no titles", column="titles",
                         fix="plan it again (ialp prefs plan, or make prefs); what was judged stays")  # fmt: skip
    files = find_model(config.model, config.revision)
    longest = files.language_config.get("max_position_embeddings") or config.max_model_len
    device = chosen_device(config.device)
    config = replace(
        config, max_model_len=min(config.max_model_len, longest), dtype=precision(config.dtype, device, files)
    )
    return LikelihoodJudge(context, config, files, device, versions)


class LikelihoodJudge:
    """Judges with a language model; see the module's docstring."""

    def __init__(
        self, context: JudgeContext, config: Config, files: ModelFiles, device: str, versions: dict[str, str]
    ) -> None:
        self._domain = context.domain
        self._titles = context.titles or ()
        self._config = config
        self.files = files
        self._device = device
        self._info = _info(context, config, files, versions)

    @property
    def info(self) -> JudgeInfo:
        """Who judges."""
        return self._info

    def texts(self, request: JudgeRequest) -> tuple[list[int], list[list[int]]]:
        """Token ids of the words before every title of a request, and of the titles; nothing is computed.

        Raises:
            InputError: if an item is none of the job's.
        """
        require_known(request, len(self._titles))
        config = self._config
        told = liked(request.history, request.history_grades, config.least_grade, config.most_liked)
        before = self._before([self._titles[item] for item in told])
        return before, [self._title_tokens[item] for item in request.items]

    def cost(self, request: JudgeRequest) -> Usage:
        """What the answers to a request cost, without asking for them: one call per pair."""
        return self._cost(request, *self.texts(request))

    def _cost(self, request: JudgeRequest, before: list[int], titles: list[list[int]]) -> Usage:
        usage = _usage(before, titles, self._fitting(before, titles))
        if request.state == 0 and titles and self._config.score == "personal":
            about_nobody = self._catalogue_cost()
            for counts, more in zip(vars(usage).values(), vars(about_nobody).values(), strict=True):
                counts[0] += more.sum()
        return usage

    def judge(self, requests: Sequence[JudgeRequest]) -> list[Judgement]:
        """One judgement per request; of a request's titles each is judged as if it had been asked about alone."""
        return [self._judgement(request) for request in requests]

    def _judgement(self, request: JudgeRequest) -> Judgement:
        before, titles = self.texts(request)
        scores = np.full(len(titles), np.nan, np.float32)
        raw = [too_long([*before, *title]) for title in titles]
        fitting = self._fitting(before, titles)
        if fitting:
            found = self.model.log_p(before, [titles[place] for place in fitting])
            for place, log_p in zip(fitting, found, strict=True):
                scores[place], raw[place] = self._score(request.items[place], log_p)
        return Judgement(scores, raw, usage=self._cost(request, before, titles))

    def _score(self, item: int, log_p: Float[np.ndarray, " T"]) -> tuple[float, str]:
        """A pair's score and raw answer."""
        total, tokens = float(log_p.sum()), log_p.size
        said = f"log P {total:.4f} of {tokens} tokens"
        if self._config.score == "whole":
            return float(np.exp(total / tokens)), said
        nobody = float(self._about_nobody[item])
        return float(expit(total - nobody)), f"{said}, {nobody:.4f} about nobody"

    @cached_property
    def tokenizer(self) -> Any:
        """Of the model."""
        return load_tokenizer(self.files)

    @cached_property
    def model(self) -> ContinuationModel:
        """The model, loaded when it is first asked for."""
        return ContinuationModel.of(self.files, self._config.dtype, self._device, self._config.titles_at_once)

    def _before(self, told: Sequence[str]) -> list[int]:
        """Token ids of the words before a title; a start token where the model's tokenizer sets one."""
        start = self.tokenizer.bos_token_id
        head = [start] if start is not None and self.tokenizer("a")["input_ids"][0] == start else []
        return [*head, *encode(self.tokenizer, frame(self._domain, self._config.framing, told), data=True)]

    @cached_property
    def _title_tokens(self) -> list[list[int]]:
        """Token ids of every title as it goes on, by item id; no special tokens, even where it spells one."""
        return [encode(self.tokenizer, continuation(title), data=True) for title in self._titles]

    def _fitting(self, before: list[int], titles: list[list[int]]) -> list[int]:
        """Places of the titles that are not too long after these words."""
        return [place for place, title in enumerate(titles)
                if len(before) + len(title) <= self._config.max_model_len]  # fmt: skip

    def _catalogue_cost(self) -> Usage:
        before = self._before(())
        return _usage(before, self._title_tokens, self._fitting(before, self._title_tokens))

    @cached_property
    def _about_nobody(self) -> Float[np.ndarray, " N"]:
        """log P of every title after the words about nobody; NaN where that is too long."""
        before, titles = self._before(()), self._title_tokens
        config = self._config
        settings = {
            name: self._info.settings[name] for name in ("dtype", "titles_at_once", "torch", "transformers")
        }
        name = fingerprint("about_nobody", self.files.revision, settings, self._device, before, titles)

        def make() -> dict[str, np.ndarray]:
            log_p = np.full(len(titles), np.nan)
            fitting = self._fitting(before, titles)
            found = self.model.log_p(before, [titles[place] for place in fitting]) if fitting else []
            log_p[fitting] = [one.sum() for one in found]
            return {"log_p": log_p}

        shapes = {"log_p": (len(titles),)}
        return kept_arrays(cache_folder(config.cache) / "likelihood", name, shapes, make)["log_p"]


def _usage(before: list[int], titles: list[list[int]], sent: list[int]) -> Usage:
    """One call per title sent; what stands before them is computed once, and a title's last token never is."""
    usage = Usage.nothing(len(titles))
    usage.calls[sent] = 1
    for place in sent:
        usage.prompt_tokens[place] = len(before) + len(titles[place])
        usage.computed_tokens[place] = len(titles[place]) - 1
    if sent:
        usage.computed_tokens[sent[0]] += len(before)
    return usage


def _info(context: JudgeContext, config: Config, files: ModelFiles, versions: dict[str, str]) -> JudgeInfo:
    test_double = config.test_double or files.kind == "test_double"
    names = ("score", "framing", "most_liked", "least_grade", "dtype", "max_model_len", "titles_at_once")
    how = {
        "personal": "how much more probable it makes the title after what this user liked than about nobody",
        "whole": "how probable it makes the title after what this user liked, per token",
    }[config.score]
    statement = (f"{files.who_judged(config.dtype, test_double)} through transformers by {how}; it was asked no question, "
                 f"and read titles only. {files.statement}")  # fmt: skip
    return JudgeInfo(
        name="likelihood", is_llm=files.kind == "general" and not test_double, model=files.name,
        revision=files.revision, template_hash=frame_hash(context.domain),
        settings={name: getattr(config, name) for name in names} | versions,
        statement=statement.strip(), test_double=test_double,
    )  # fmt: skip
