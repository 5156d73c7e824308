"""The LLM judge: vLLM's offline engine.

pointwise: P(yes | yes or no) of the first token of the answer, one prompt per pair. list: which of several
candidates, by the letter that begins the answer (`listwise`). classify: the same question to a reranker, whose
head has two rows instead of a vocabulary; it gives the ratio only, no label mass.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Annotated, Any, Literal

import numpy as np

from ialp_jax.preferences.judges.base import (
    JudgeContext,
    JudgeInfo,
    Judgement,
    JudgeRequest,
    Usage,
)
from ialp_jax.preferences.prompting import listwise, prompts
from ialp_jax.preferences.prompting.layout import (
    Layout,
    label_ids,
    label_tokens,
    make_layout,
    single_labels,
)
from ialp_jax.preferences.prompting.model_files import ModelFiles, find_model
from ialp_jax.preferences.prompting.vllm_engine import (
    Dtype,
    chosen_dtype,
    engine_version,
    prepare_process,
    start_engine,
)
from ialp_jax.preferences.prompting.vllm_outputs import (
    classify_judgement,
    pointwise_judgement,
    token_log_p,
    too_long,
    usage_of,
)
from ialp_jax.ranges import Count, PositiveShare, Rate, at_least
from ialp_jax.values import checked

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghij"
NOTHING = "(an item)"  # what stands in every line where the letters alone are measured


@dataclass(frozen=True)
@checked
class Config:
    """Settings of the vLLM judge."""

    model: str = ""
    """Folder of the model, or its name on the hub."""
    revision: str | None = None
    """Commit on the hub; the newest if left out."""
    mode: Literal["pointwise", "list", "classify"] = "pointwise"
    """One prompt per pair, one per group of candidates, or a reranker's head."""
    labels: tuple[str, str] = ("yes", "no")
    """The answers for and against. Each is the sum of the single tokens that spell it, in upper or lower case, with a space
    before or without; mode classify takes the one token that it is as it stands."""
    list_size: Annotated[int, at_least(2)] = 20
    """Mode list: candidates in a prompt."""
    permutations: Count = 4
    """Mode list: how often every candidate is asked about, in another order and company; 2 or more where a state has more
    candidates than a prompt."""
    seed: Annotated[int, at_least(0)] = 0
    """Mode list: of the orders."""
    dtype: Dtype = "auto"
    """Precision of weights and activations; auto is the model's own, float16 for a float32 model, and float32 on a CPU
    without instructions for bfloat16."""
    max_model_len: Count = 4096
    """Longest prompt in tokens, the model's own limit at most; a longer one is rejected."""
    block_size: Count = 32
    """Tokens in a block of the prefix cache; prompts are padded to it, so it is part of the question."""
    prefix_caching: bool = True
    """Off only to measure what the cache saves."""
    max_num_seqs: Count = 256
    """Prompts computed side by side."""
    tensor_parallel: Count = 1
    """GPUs that share the model; only where it does not fit into one."""
    gpu_memory_utilization: PositiveShare = 0.9
    """Share of the GPU's memory that vLLM takes."""
    kv_cache_gib: Rate | None = None
    """Memory of the prefix cache in GiB; what is left of the share above if not given."""
    deterministic: bool = True
    """Run the engine in this process, where equal jobs schedule equally; off, tokens of the next prompts are
    prepared while the GPU works, and the last digits may differ between runs."""
    test_double: bool = False
    """The model has random weights: nothing it says is evidence, and every report says so in red."""


def build(context: JudgeContext, config: Config) -> "VLLMJudge":
    """Looks at the model's files; the engine starts when the first request comes.

    Raises:
        InputError: if there is no such model, or no vLLM.
    """
    prepare_process(config.deterministic)
    files = find_model(config.model, config.revision)
    longest = files.language_config.get("max_position_embeddings") or config.max_model_len
    config = replace(
        config, max_model_len=min(config.max_model_len, longest), dtype=chosen_dtype(config.dtype)
    )
    return VLLMJudge(context, config, files)


class VLLMJudge:
    """Judges with a language model; see the module's docstring."""

    def __init__(self, context: JudgeContext, config: Config, files: ModelFiles) -> None:
        self._context = context
        self._config = config
        self.files = files
        self._info = _info(context, config, files)

    @property
    def info(self) -> JudgeInfo:
        """Who judges."""
        return self._info

    @cached_property
    def layout(self) -> Layout:
        """How this model's prompts are put together; needs its tokenizer only."""
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(self.files.path, revision=self._hub_revision)
        return make_layout(tokenizer, prompts.system(self._context.domain), self._config.block_size)

    def prompts(self, request: JudgeRequest) -> list[list[int]]:
        """Token ids of every prompt that is sent for a request, in order; sends nothing."""
        if self._config.mode == "list":
            return self._list_prompts(request)[0]
        shared = self.layout.prefix(request.state_text, prompts.question(self._context.domain))
        return [shared + self.layout.suffix(text) for text in request.item_texts]

    def judge(self, requests: Sequence[JudgeRequest]) -> list[Judgement]:
        """One judgement per request; the engine starts with an empty prefix cache every time."""
        answer = {"pointwise": self._pointwise, "list": self._list, "classify": self._classify}
        self._engine.reset_prefix_cache()
        answers = iter(answer[self._config.mode]([request for request in requests if request.items]))
        nothing = Judgement(np.zeros(0, np.float32), [], usage=Usage.nothing(0))
        return [next(answers) if request.items else nothing for request in requests]

    def _pointwise(self, requests: Sequence[JudgeRequest]) -> list[Judgement]:
        asked = [self.prompts(request) for request in requests]
        outputs = self._generate([prompt for some in asked for prompt in some], self._read_tokens)
        labels = self._label_tokens
        return [pointwise_judgement([next(outputs) for _ in some], some, labels) for some in asked]

    def _classify(self, requests: Sequence[JudgeRequest]) -> list[Judgement]:
        asked = [self.prompts(request) for request in requests]
        sent = self._fitting([prompt for some in asked for prompt in some])
        # Asked about nothing, the engine refuses.
        found = iter(
            self._engine.classify([{"prompt_token_ids": prompt} for prompt in sent], use_tqdm=False)
            if sent
            else ()
        )
        outputs = [[next(found) if self._fits(prompt) else None for prompt in some] for some in asked]
        return [classify_judgement(some, each) for some, each in zip(outputs, asked, strict=True)]

    def _list(self, requests: Sequence[JudgeRequest]) -> list[Judgement]:
        asked = [self._list_prompts(request) for request in requests]
        letters = self._read_tokens
        outputs = self._generate([prompt for some, _ in asked for prompt in some], letters)
        answered = [([next(outputs) for _ in some], some, groups) for some, groups in asked]
        return [
            self._list_judgement(len(request.items), letters, *answer)
            for request, answer in zip(requests, answered, strict=True)
        ]

    def _list_judgement(
        self,
        items: int,
        letters: list[int],
        outputs: list[Any],
        asked: list[list[int]],
        groups: list[np.ndarray],
    ) -> Judgement:
        """Rejected as a whole if a prompt was too long."""
        usage = listwise.at_first_item(usage_of(outputs, asked), items)
        if any(output is None for output in outputs):
            reason = too_long(max(asked, key=len))
            return Judgement(np.full(items, np.nan, np.float32), [reason] * items, usage=usage)
        sizes = [len(group) for group in groups] + sorted({len(group) for group in groups})
        log_p = [token_log_p(output, letters[:size]) for output, size in zip(outputs, sizes, strict=True)]
        alone = {found.size: found for found in log_p[len(groups) :]}
        return listwise.judgement(items, groups, log_p[: len(groups)], alone, self._letters, usage)

    def _list_prompts(self, request: JudgeRequest) -> tuple[list[list[int]], list[np.ndarray]]:
        """Prompts of a request in list mode and the groups they ask about.

        After the groups' prompts comes one for every size of group, with equal lines: the letters alone.
        """
        config = self._config
        groups = listwise.deal(
            len(request.items), config.list_size, config.permutations, (config.seed, request.state)
        )
        shared = self.layout.prefix(request.state_text, prompts.list_question(self._context.domain))
        texts = [[request.item_texts[place] for place in group] for group in groups]
        texts += [[NOTHING] * size for size in sorted({len(group) for group in groups})]
        lines = [prompts.list_lines(self._letters[: len(some)], some) for some in texts]
        return [shared + self.layout.suffix(text) for text in lines], groups

    def _generate(self, asked: list[list[int]], tokens: list[int]) -> Any:
        """Iterator over the outputs of all prompts in order; None for one that is too long to be sent."""
        from vllm import SamplingParams

        sampling = SamplingParams(max_tokens=1, temperature=0.0, logprob_token_ids=tokens)
        sent = [{"prompt_token_ids": prompt} for prompt in self._fitting(asked)]
        found = iter(self._engine.generate(sent, sampling, use_tqdm=False))
        return (next(found) if self._fits(prompt) else None for prompt in asked)

    def _fits(self, prompt: list[int]) -> bool:
        return len(prompt) < self._config.max_model_len

    def _fitting(self, asked: list[list[int]]) -> list[list[int]]:
        return [prompt for prompt in asked if self._fits(prompt)]

    @cached_property
    def _label_tokens(self) -> list[list[int]]:
        return label_tokens(self.layout, self._config.labels)

    @cached_property
    def _letters(self) -> list[str]:
        return single_labels(self.layout, LETTERS, self._config.list_size)

    @property
    def _read_tokens(self) -> list[int]:
        """Ids of the tokens whose probabilities are read; refused where the model has none for a label."""
        mode = self._config.mode
        if mode == "pointwise":
            return list(chain.from_iterable(self._label_tokens))
        return label_ids(self.layout, self._letters if mode == "list" else self._config.labels)

    @property
    def _hub_revision(self) -> str | None:
        return self.files.revision if self.files.on_hub else None

    @cached_property
    def _engine(self) -> Any:
        """The engine; the labels are checked before anything heavy is loaded."""
        ids = self._read_tokens
        # By the tokens that were checked: a label's text alone may be another token.
        names = self.layout.tokenizer.convert_ids_to_tokens(ids)
        return start_engine(self._config, self.files, self._hub_revision, names)


def _info(context: JudgeContext, config: Config, files: ModelFiles) -> JudgeInfo:
    test_double = config.test_double or files.kind == "test_double"
    settings: dict[str, Any] = {
        "mode": config.mode, "dtype": config.dtype, "block_size": config.block_size,
        "max_model_len": config.max_model_len, "vllm": engine_version()[0],
    }  # fmt: skip
    if config.mode == "list":
        settings |= {"list_size": config.list_size, "permutations": config.permutations, "seed": config.seed}
        how = (
            f"which of {config.list_size} candidates this user would like most, {config.permutations} orders"
        )
    else:
        settings |= {"labels": list(config.labels)}
        if config.mode == "pointwise":
            settings |= {"spellings": "all"}
        how = f"P({config.labels[0]} | {config.labels[0]} or {config.labels[1]}) for one candidate at a time"
    who = files.who_judged(config.dtype, test_double)
    statement = f"{who} through vLLM ({how}). {files.statement}".strip()
    return JudgeInfo(
        name="vllm", is_llm=files.kind == "general" and not test_double, model=files.name,
        revision=files.revision, template_hash=prompts.template_hash(context.domain, context.feedback),
        settings=settings, statement=statement, test_double=test_double,
    )  # fmt: skip
