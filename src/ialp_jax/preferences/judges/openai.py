"""A language model behind any server with OpenAI's chat API: how probable it makes "yes" against "no".

One chat completion per pair; the score is P(yes) / (P(yes) + P(no)) of the answer's first token. How the two
are read depends on the server:

- `openai`: by their text, from the 20 most probable tokens; a bound stands for one that is not among them
  (`label_logprobs`).
- `vllm` (0.20 or newer): by their token ids, exactly, however improbable.

A pair is rejected by rule where neither label can be read, or where the server refuses it (HTTP 400, 413, 422:
most often too long a history). A question about nobody and nothing is sent first, once per process, so that
a refusal of everything is told from a refusal of one pair before pairs are paid for.
"""

import asyncio
import itertools
import math
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import numpy as np
import openai

from ialp_jax.artifacts import InputError
from ialp_jax.preferences.judges.base import (
    REJECTED,
    JudgeContext,
    JudgeInfo,
    Judgement,
    JudgeRequest,
)
from ialp_jax.preferences.prompting import prompts
from ialp_jax.preferences.prompting.label_logprobs import UnreadableError, read_by_id, read_by_text
from ialp_jax.preferences.prompting.pair_answers import Answer, judgement_of
from ialp_jax.preferences.prompting.server_errors import KEY, explained, said
from ialp_jax.preferences.prompting.spellings import bare, spellings
from ialp_jax.preferences.prompting.spending import Spending
from ialp_jax.ranges import Count, Rate, Weight, at_least
from ialp_jax.values import checked

OPENAI = "https://api.openai.com/v1"
LISTED = 20  # the most that the API lists
REFUSED = (400, 413, 422)  # this request, whoever sends it: too long, filtered, malformed


@dataclass(frozen=True)
@checked
class Config:
    """Which server and model, how much at once, and at what cost at most. The key is read from OPENAI_API_KEY."""

    model: str = ""
    """The model, as the server calls it."""
    base_url: str = OPENAI
    """The server's address up to and including /v1. Another address is another judge: its shards are its own."""
    server: Literal["openai", "vllm"] = "openai"
    """openai: labels are sought in the 20 most probable tokens; vllm: read exactly, by token id. Either way a label is the sum
    of its spellings in upper or lower case, with a space before or without."""
    labels: tuple[str, str] = ("yes", "no")
    """For "likes it" and against it; each must be one token of the model."""
    revision: str = ""
    """Exact version of the model, where you know it; written into the table."""
    test_double: bool = False
    """The server's model has random weights; what it says is marked as no evidence."""
    concurrency: Count = 32
    """Requests in flight at once."""
    timeout: Rate = 60.0
    """Seconds to wait for one answer."""
    max_retries: Annotated[int, at_least(0)] = 5
    """Further attempts after a failed connection or a status 408, 409, 429 or 5xx, with growing waits."""
    max_cost: Weight | None = None
    """Stop once this process has spent so much, by the two prices; no cap if left out."""
    input_price: Weight = 0.0
    """Price of a million prompt tokens; discounts for cached ones are not counted."""
    output_price: Weight = 0.0
    """Price of a million answered tokens."""
    temperature: Weight = 0.0
    """Sent with every request."""
    max_tokens: Count = 1
    """Tokens to answer with; only the first is read."""
    seed: int = 0
    """Sent with every request."""

    def __post_init__(self) -> None:
        url = urlsplit(self.base_url)
        if url.scheme not in ("http", "https") or not url.hostname or url.username or url.query:
            raise InputError("the server's address is malformed", column="base_url",
                             fix="give http(s)://HOST[:PORT]/v1, without a user, a password or a query")  # fmt: skip
        if len({bare(label) for label in self.labels} - {""}) < 2:
            raise InputError(f"the labels {self.labels} are not two words", column="labels",
                             fix='use two that differ in more than case, such as "yes" and "no"')  # fmt: skip
        if self.max_cost is not None and not max(self.input_price, self.output_price) > 0:
            raise InputError("a cap on the cost needs prices", column="max_cost",
                             fix="give input_price and output_price, per million tokens")  # fmt: skip


@dataclass(frozen=True)
class Form:
    """How this server is asked for the labels: parameters of every request, and each label's token ids if it goes by them."""

    options: dict[str, Any]
    label_ids: Sequence[Sequence[int]] = ()


class OpenAIJudge:
    """Judges by chat completions; see the module's docstring for the score and what is rejected."""

    def __init__(self, context: JudgeContext, config: Config, info: JudgeInfo) -> None:
        self._context = context
        self._config = config
        self._info = info
        self._spending = Spending(config.input_price, config.output_price, config.max_cost)
        self._form: Form | None = None  # known once the server was met

    @property
    def info(self) -> JudgeInfo:
        """Who judges; no request is sent."""
        return self._info

    def judge(self, requests: Sequence[JudgeRequest]) -> list[Judgement]:
        """Asks about every pair, `concurrency` at once, a state's items side by side.

        Raises:
            InputError: if the server cannot be used as configured, or the cap on the cost is reached.
        """
        counts = [len(request.items) for request in requests]
        answers = asyncio.run(self._ask_all(requests)) if any(counts) else []
        ends = np.cumsum([0, *counts])
        return [judgement_of(answers[start:end]) for start, end in itertools.pairwise(ends)]

    async def _ask_all(self, requests: Sequence[JudgeRequest]) -> list[Answer]:
        """One answer per pair, in order."""
        pairs = ((request.state_text, text) for request in requests for text in request.item_texts)
        pending = enumerate(pairs)
        answers: dict[int, Answer] = {}

        async def work(client: openai.AsyncOpenAI, form: Form) -> None:
            # All workers draw from one iterator: pairs are sent in order, so that a prefix cache helps.
            while not self._spending.at_cap and (drawn := next(pending, None)) is not None:
                index, pair = drawn
                answers[index] = await self._ask(client, form, *pair)

        async with self._client() as client:
            self._form = self._form or await self._meet(client)
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(self._config.concurrency):
                        group.create_task(work(client, self._form))
            except ExceptionGroup as errors:  # the others were cancelled and have ended
                first = errors.exceptions[0]
                raise first from first.__cause__
        # Answers already under way at the cap were awaited: they are paid for.
        if len(answers) < sum(len(request.items) for request in requests):
            self._spending.refuse_over_cap()
        return [answers[index] for index in range(len(answers))]

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[openai.AsyncOpenAI]:
        """A client of its own for each call: connections belong to one event loop."""
        config = self._config
        key = os.environ.get(KEY) or ("" if config.base_url == OPENAI else "EMPTY")
        if not key:
            raise InputError(f"{OPENAI} needs a key", column=KEY,
                             fix=f"set the environment variable {KEY}, or base_url to another server")  # fmt: skip
        async with openai.AsyncOpenAI(
            api_key=key,
            base_url=config.base_url,
            timeout=config.timeout,
            max_retries=config.max_retries,
            # Prompts go to the server that was named, and to no other that it names.
            http_client=openai.DefaultAsyncHttpxClient(follow_redirects=False),
        ) as client:
            yield client

    async def _meet(self, client: openai.AsyncOpenAI) -> Form:
        """Learns the labels' token ids, and asks about nobody and nothing, which no server has cause to refuse."""
        form = Form({"top_logprobs": LISTED})
        if self._config.server == "vllm":
            ids = await self._tokenize(client)
            extra = {
                "logprob_token_ids": [token for spelled in ids for token in spelled],
                "return_tokens_as_token_ids": True,
                "chat_template_kwargs": {"enable_thinking": False},
            }
            form = Form({"extra_body": extra}, ids)
        nobody = prompts.state_text(self._context.domain, self._context.feedback, [], [])
        answer = await self._ask(client, form, nobody, prompts.item_text("", ""))
        if math.isnan(answer.log_yes):
            reason = answer.raw.removeprefix(REJECTED)
            raise InputError(f"{self._config.base_url} cannot judge with {self._config.model!r}: {reason}",
                             column="model", fix="use a model and server that take a system message and answer at once "
                             'with logprobs; for vLLM (0.20 or newer) set server to "vllm"')  # fmt: skip
        return form

    async def _tokenize(self, client: openai.AsyncOpenAI) -> list[list[int]]:
        """Ids of the single tokens that spell each label, from vLLM's own endpoint beside /v1."""
        ids: list[list[int]] = []
        for label in self._config.labels:
            answers = [await self._tokens_of(client, way) for way in spellings(label)]
            single = sorted({tokens[0] for tokens in answers if len(tokens) == 1})
            if not single:
                raise InputError(f"the label {label!r} is not one token of {self._config.model!r} ({answers[0]!s:.80}), however "
                                 "it is spelled", column="labels", fix="choose labels that are, such as Yes and No")  # fmt: skip
            ids.append(single)
        if set(ids[0]) & set(ids[1]):
            raise InputError(f"the labels {self._config.labels} are the same token", column="labels",
                             fix="choose labels that differ")  # fmt: skip
        return ids

    async def _tokens_of(self, client: openai.AsyncOpenAI, text: str) -> list[int]:
        url = self._config.base_url.rstrip("/").removesuffix("/v1") + "/tokenize"
        body = {"model": self._config.model, "prompt": text, "add_special_tokens": False}
        try:
            reply: Any = await client.post(url, cast_to=object, body=body)
        except openai.APIError as error:
            raise self._explained(error) from error
        tokens = reply.get("tokens") if isinstance(reply, dict) else None
        if not isinstance(tokens, list) or not all(type(token) is int for token in tokens):
            raise InputError(f"{url} answers, but not with token ids ({tokens!s:.80})", column="server",
                             fix="set server to openai for a server that is not vLLM")  # fmt: skip
        return tokens

    async def _ask(self, client: openai.AsyncOpenAI, form: Form, state_text: str, item_text: str) -> Answer:
        """One completion, read and paid for."""
        config, domain = self._config, self._context.domain
        # The words of the judge `vllm`, which puts them together as token ids, perhaps with newlines as padding.
        messages: list[Any] = [
            {"role": "system", "content": prompts.system(domain)},
            {"role": "user", "content": f"{state_text}\n{prompts.question(domain)}{item_text}"},
        ]
        try:
            reply: Any = await client.chat.completions.create(
                model=config.model, messages=messages, temperature=config.temperature,
                max_tokens=config.max_tokens, seed=config.seed, logprobs=True, **form.options,
            )  # fmt: skip
        except openai.APIStatusError as error:
            if error.status_code in REFUSED:
                return Answer(f"{REJECTED}the server refused it: {said(error)}", calls=0)
            raise self._explained(error) from error
        except openai.APIError as error:
            raise self._explained(error) from error
        choices = getattr(reply, "choices", None)
        if not isinstance(choices, list) or not choices:
            raise InputError(f"{config.base_url} answers, but not with a chat completion", column="base_url",
                             fix="give the address of an OpenAI-compatible server, up to and including /v1")  # fmt: skip
        prompt_tokens, computed_tokens = self._spending.pay(getattr(reply, "usage", None))
        choice = choices[0]
        try:
            raw, (log_yes, log_no) = (
                read_by_id(choice, form.label_ids) if form.label_ids else read_by_text(choice, config.labels)
            )
        except UnreadableError as error:
            raw, log_yes, log_no = f"{REJECTED}{error}", math.nan, math.nan
        return Answer(raw, log_yes, log_no, 1, prompt_tokens, computed_tokens)

    def _explained(self, error: openai.APIError) -> InputError:
        return explained(error, self._config.base_url, self._config.model, self._config.max_retries)


def build(context: JudgeContext, config: Config) -> OpenAIJudge:
    """Makes the judge; no request is sent.

    Raises:
        InputError: if no model is named.
    """
    if not config.model:
        raise InputError(
            "no model was given", column="model", fix="name one that the server at base_url serves"
        )
    what = (
        "A model of random weights (a test double, no evidence)"
        if config.test_double
        else "The language model"
    )
    settings = {name: getattr(config, name)
                for name in ("base_url", "server", "labels", "temperature", "max_tokens", "seed")}  # fmt: skip
    if config.server == "vllm":
        settings |= {"spellings": "all"}  # versions before took one token for each label
    info = JudgeInfo(
        name="openai",
        is_llm=not config.test_double,
        model=config.model,
        revision=config.revision,
        template_hash=prompts.template_hash(context.domain, context.feedback),
        settings=settings,
        statement=f"{what} {config.model}, served at {config.base_url}, judged each pair by how probable it made the "
        f'answer "{config.labels[0]}" against "{config.labels[1]}".',
        test_double=config.test_double,
    )
    return OpenAIJudge(context, config, info)
