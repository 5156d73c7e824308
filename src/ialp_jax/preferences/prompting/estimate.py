"""What a job will cost, before it starts: prompts and tokens are counted, time and memory follow by arithmetic."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rich.table import Table

from ialp_jax.preferences.job.requests import Requests
from ialp_jax.preferences.judges.base import JudgeRequest, Usage
from ialp_jax.preferences.prompting.model_files import ModelFiles, parameters
from ialp_jax.ranges import Rate
from ialp_jax.values import checked

SAMPLED_STATES = 64
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "auto": 2}


@dataclass(frozen=True)
@checked
class Assumptions:
    """What the estimated time rests on; neither number is measured."""

    tflops: Rate = 400.0
    """Arithmetic per GPU and second, in 10^12 operations; an H100 in bfloat16 is good for about this."""
    prompts_per_second: Rate = 2500.0
    """Prompts an engine can take in, however small the model (2,500 to 3,300 measured on two CPU cores)."""


class Prompting(Protocol):
    """A judge that can tell its prompts without sending them."""

    def prompts(self, request: JudgeRequest) -> list[list[int]]:
        """Token ids of every prompt of a request."""


class Costing(Protocol):
    """A judge that can tell what its answers cost without asking for them."""

    def cost(self, request: JudgeRequest) -> Usage:
        """Of all answers to a request."""

    def texts(self, request: JudgeRequest) -> tuple[list[int], list[list[int]]]:
        """Token ids of the text that all candidates share, and of what follows for each."""


@dataclass(frozen=True)
class Estimate:
    """A job's size.

    Attributes:
        states: S.
        pairs: to judge.
        calls: prompts to send.
        prompt_tokens: in them.
        computed_tokens: of them, not answered by the prefix cache.
        longest: tokens of the longest prompt seen.
        sampled: states whose prompts were counted; the rest is scaled by pairs.
        weights: bytes.
        kv_cache: bytes of the prompts of one state, the shared part once; with copies of it for each, of one batch.
        seconds: on one engine of one GPU under the assumptions.
    """

    states: int
    pairs: int
    calls: int
    prompt_tokens: int
    computed_tokens: int
    longest: int
    sampled: int
    weights: int
    kv_cache: int
    seconds: float

    def table(self) -> Table:
        """For the terminal."""
        table = Table(show_header=False, title="what this job will take", title_justify="left", box=None)
        table.add_column(style="bold")
        per_pair = self.computed_tokens / max(1, self.pairs)
        saved = self.prompt_tokens / max(1, self.computed_tokens)
        counted = "all counted" if self.sampled == self.states else f"counted on {self.sampled} states"
        for name, value in {
            "states, pairs": f"{self.states:,}, {self.pairs:,}",
            "prompts": f"{self.calls:,} ({counted}); the longest has {self.longest:,} tokens",
            "tokens in prompts": f"{self.prompt_tokens:,}",
            "tokens to compute": f"{self.computed_tokens:,}: {per_pair:.1f} per pair, {saved:.1f} x fewer by the prefix cache",
            "memory": f"weights {self.weights / 2**30:.2f} GiB, cache of one state {self.kv_cache / 2**20:,.1f} MiB",
            "time (assumed speeds)": f"{self.seconds / 3600:,.2f} GPU-hours on one engine",
        }.items():
            table.add_row(name, value)
        return table


def estimate_job(
    requests: Requests, judge: Prompting, files: ModelFiles, *, block: int, dtype: str, states_per_shard: int,
    assumed: Assumptions,
) -> Estimate:  # fmt: skip
    """Counts the prompts of the first whole shards and scales them to the job.

    Computing a token is taken as 2 operations per parameter (Kaplan et al. 2020, "Scaling laws for neural
    language models", section 2.1), attention left out.

    Args:
        requests: what is asked.
        judge: knows the prompts.
        files: the model.
        block: tokens in a block of the cache.
        dtype: of the weights and the cache.
        states_per_shard: the cache starts empty with every shard.
        assumed: speeds.
    """
    sampled = min(requests.num_states, -(-SAMPLED_STATES // states_per_shard) * states_per_shard)
    asked = [
        [judge.prompts(requests.make(state)) for state in shard]
        for shard in _batches(range(sampled), states_per_shard)
    ]
    prompts = [[prompt for state in shard for prompt in state] for shard in asked]
    scale = int(requests.pairs().sum()) / max(1, int(requests.pairs()[:sampled].sum()))
    total = sum(len(prompt) for shard in prompts for prompt in shard)
    computed = sum(computed_tokens(shard, block) for shard in prompts)
    calls = round(sum(map(len, prompts)) * scale)
    largest = max((computed_tokens(state, block) for shard in asked for state in shard), default=0)
    size = parameters(files)
    arithmetic = 2 * size * computed * scale / (assumed.tflops * 1e12)
    return Estimate(
        states=requests.num_states, pairs=int(requests.pairs().sum()), calls=calls,
        prompt_tokens=round(total * scale), computed_tokens=round(computed * scale),
        longest=max((len(prompt) for shard in prompts for prompt in shard), default=0), sampled=sampled,
        weights=size * BYTES[dtype], kv_cache=largest * kv_bytes(files.language_config, BYTES[dtype]),
        # The engine takes prompts in while the GPU computes: the slower of the two decides.
        seconds=max(arithmetic, calls / assumed.prompts_per_second),
    )  # fmt: skip


def estimate_counted(
    requests: Requests, judge: Costing, files: ModelFiles, *, dtype: str, at_once: int, assumed: Assumptions
) -> Estimate:
    """Counts what a judge that tells its costs will be asked for, of all states.

    Computing a token is taken as in `estimate_job`.

    Args:
        requests: what is asked.
        judge: knows its costs.
        files: the model.
        dtype: of the weights and the cache.
        at_once: continuations in one forward pass, each with a copy of the text before it.
        assumed: speeds.
    """
    calls, total, computed, longest = 0, 0, 0, 0
    for state in range(requests.num_states):
        request = requests.make(state)
        usage = judge.cost(request)
        calls, total, computed = (
            count + int(more.sum())
            for count, more in zip((calls, total, computed), vars(usage).values(), strict=True)
        )
        before, titles = judge.texts(request)
        longest = max(longest, len(before) + max(map(len, titles), default=0))
    size = parameters(files)
    return Estimate(
        states=requests.num_states, pairs=int(requests.pairs().sum()), calls=calls, prompt_tokens=total,
        computed_tokens=computed, longest=longest, sampled=requests.num_states, weights=size * BYTES[dtype],
        kv_cache=at_once * longest * kv_bytes(files.language_config, BYTES[dtype]),
        seconds=2 * size * computed / (assumed.tflops * 1e12),
    )  # fmt: skip


def computed_tokens(prompts: Iterable[Sequence[int]], block: int) -> int:
    """Tokens that an engine with a prefix cache computes for prompts that come in this order.

    A prompt takes from the cache the longest run of whole blocks from its start that an earlier prompt had,
    but never its last token, which is computed for the answer (vLLM's automatic prefix caching).
    """
    known: set[int] = set()
    computed = 0
    for prompt in prompts:
        chain, found, broken = 0, 0, False
        for start in range(0, len(prompt) - block + 1, block):
            chain = hash((chain, *prompt[start : start + block]))
            broken = broken or chain not in known or start + block >= len(prompt)
            found += 0 if broken else block
            known.add(chain)
        computed += len(prompt) - found
    return computed


def kv_bytes(config: dict[str, Any], width: int) -> int:
    """Bytes that one token takes in the cache: keys and values of every layer; `width` bytes a number.

    Args:
        config: of the model's language part (`ModelFiles.language_config`).
        width: of a number.
    """
    heads = config["num_attention_heads"]
    head = config.get("head_dim") or config["hidden_size"] // heads
    return 2 * config["num_hidden_layers"] * (config.get("num_key_value_heads") or heads) * head * width


def _batches(states: range, size: int) -> Iterable[range]:
    return (states[start : start + size] for start in range(0, len(states), size))
