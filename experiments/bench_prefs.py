"""How many tokens a judgement costs, by the layout of its prompt: `make bench-prefs`.

The same pairs of invented steam users in the judge's own words, about 500 tokens a prompt, 200 candidates a user,
attributes of an item cut at 32 characters (the last line: at the default's 80).
Tokens are counted by vLLM's engine (deterministic); the processor time beside them is that of a model of random
weights on this machine, and noisy. The tokenizer is a real one of 131,072 tokens (Tekken, out of the package
mistral-common, which vLLM brings along), so that titles cost what they cost in use; the chat format is Qwen3's.
"""

import base64
import json
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import mistral_common
import torch
import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM
from transformers.convert_slow_tokenizer import TikTokenConverter

from ialp_jax.artifacts import write_json
from ialp_jax.data.build import DataConfig
from ialp_jax.data.synthetic import SyntheticConfig, generate
from ialp_jax.preferences.candidates import CandidateConfig
from ialp_jax.preferences.job.plan import plan_job
from ialp_jax.preferences.job.requests import Requests
from ialp_jax.preferences.judges.base import JudgeRequest
from ialp_jax.preferences.judges.vllm import Config, VLLMJudge, find_model
from ialp_jax.preferences.prompting import prompts
from ialp_jax.preferences.prompting.layout import Layout
from ialp_jax.preferences.prompting.model_files import NOTE

AT_MOST, AT_LEAST_FEWER = 25.0, 15.0
HISTORY = 36  # interactions told: about 500 tokens
CHATML = """\
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}"""


@dataclass(frozen=True)
class Bench:
    """Counts and times the layouts of a judgement's prompt."""

    states: int = 3
    """Users asked about."""
    repeats: int = 3
    """Timed rounds, all layouts in turn; the median is shown."""
    hidden: int = 256
    """Width of the random model."""
    layers: int = 4
    """Depth of the random model."""
    out: Path | None = None
    """Also write the numbers here, as JSON."""


class Unaligned(VLLMJudge):
    """The shared part ends where it ends, in the middle of a block."""

    @cached_property
    def layout(self) -> Layout:
        """Without padding."""
        return replace(super().layout, block=1)


class QuestionLast(Unaligned):
    """As one would write it by hand: history, item, question."""

    def prompts(self, request: JudgeRequest) -> list[list[int]]:
        """The item stands in the middle, so that the question is not shared."""
        layout, question = self.layout, prompts.question("games")
        history = layout.data(request.state_text + "\n")
        rest = (layout.suffix(f"{text}\n{question}") for text in request.item_texts)
        return [[*layout.head, *history, *each] for each in rest]


BASE, PRODUCT = "no prefix cache", "+ padded to a block (the product)"
LONGER = "the product, longer attributes"
LAYOUTS: dict[str, tuple[type[VLLMJudge], dict[str, Any], int]] = {
    BASE: (QuestionLast, {"prefix_caching": False}, 32),
    "prefix cache, blocks of 128": (QuestionLast, {"block_size": 128}, 32),
    "blocks of 32": (QuestionLast, {}, 32),
    "+ question before the item": (Unaligned, {}, 32),
    PRODUCT: (VLLMJudge, {}, 32),
    "the product, classify": (VLLMJudge, {"mode": "classify"}, 32),
    "list of 20, two orders": (VLLMJudge, {"mode": "list", "permutations": 2}, 32),
    LONGER: (VLLMJudge, {}, prompts.ATTRIBUTES_LENGTH),
}
"""By name: the judge, its settings, and the characters of an item's attributes."""


def main() -> None:
    """Measures and shows; exit status 1 if the product's layout misses its bounds."""
    asked, console = tyro.cli(Bench, description=__doc__), Console()
    with tempfile.TemporaryDirectory() as folder:
        lengths = {length for _, _, length in LAYOUTS.values()}
        requests = {
            length: some_requests(Path(folder) / str(length), asked.states, length) for length in lengths
        }
        model = make_model(Path(folder) / "model", asked.hidden, asked.layers)
        rows = measure(requests, model, asked.repeats)
    console.print(table_of(rows))
    computed, whole = rows[PRODUCT]["computed_per_pair"], rows[BASE]["computed_per_pair"]
    fewer = whole / computed
    kept = computed <= AT_MOST and fewer >= AT_LEAST_FEWER
    longer = rows[LONGER]["computed_per_pair"]
    console.print(f"Attributes cut at 32 characters: {computed:.1f} tokens computed per pair (at most {AT_MOST:.0f}), {fewer:.1f} x "
                  f"fewer than without the prefix cache (at least {AT_LEAST_FEWER:.0f}): "
                  f"{'[green]holds' if kept else '[red]DOES NOT HOLD'}[/]. At the default's {prompts.ATTRIBUTES_LENGTH} characters: "
                  f"{longer:.1f}, {whole / longer:.1f} x.")  # fmt: skip
    if asked.out is not None:
        write_json(asked.out, {"bench": asked, "layouts": rows})
    sys.exit(0 if kept else 1)


def some_requests(folder: Path, states: int, length: int) -> Requests:
    """Invented steam users with long histories, 200 candidates each."""
    world = SyntheticConfig(num_users=400, mean_interactions=110.0)
    dataset = generate(world, DataConfig(history_length=HISTORY), "games")
    return plan_job(
        dataset,
        CandidateConfig(),
        folder,
        states=states,
        attributes_length=length,
        console=Console(quiet=True),
    )


def make_model(folder: Path, hidden: int, layers: int) -> Path:
    """A Qwen3 of random weights with a real vocabulary."""
    tokenizer = real_tokenizer()
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=len(tokenizer), hidden_size=hidden, intermediate_size=3 * hidden, num_hidden_layers=layers,
        head_dim=64, num_attention_heads=hidden // 64, num_key_value_heads=max(1, hidden // 128),
        max_position_embeddings=2048, tie_word_embeddings=True,
    )  # fmt: skip
    Qwen3ForCausalLM(config).float().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    write_json(folder / NOTE, {"kind": "test_double", "statement": "Made by a benchmark."})
    return folder


def real_tokenizer() -> PreTrainedTokenizerFast:
    """Tekken's vocabulary (tekken_240911.json of mistral-common) with the marks of Qwen3's chat format."""
    stored = json.loads(
        (Path(mistral_common.__file__).parent / "data" / "tekken_240911.json").read_text("utf-8")
    )
    config = stored["config"]
    kept = stored["vocab"][: config["default_vocab_size"] - config["default_num_special_tokens"]]
    converter = TikTokenConverter()
    converter.load_tiktoken_bpe = lambda _: {
        base64.b64decode(one["token_bytes"]): one["rank"] for one in kept
    }
    core = Tokenizer(models.BPE(*converter.extract_vocab_merges_from_model("")))
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(config["pattern"]), "isolated"),
            pre_tokenizers.ByteLevel(False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    core.add_tokens([AddedToken(word, normalized=False) for word in ("<think>", "</think>")])
    return PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=CHATML
    )


def measure(requests: dict[int, Requests], model: Path, repeats: int) -> dict[str, dict[str, float]]:
    """Tokens of every layout by the engine's own count, and its processor time, in turn."""
    asked = {length: [one.make(state) for state in range(one.num_states)] for length, one in requests.items()}
    settings = {"model": str(model), "dtype": "float32", "max_model_len": 2048, "kv_cache_gib": 1.0}
    files = find_model(str(model), None)
    pairs = int(requests[32].pairs().sum())
    judges = {
        name: kind(requests[length].context, Config(**{**settings, **options}), files)
        for name, (kind, options, length) in LAYOUTS.items()
    }
    rows: dict[str, dict[str, float]] = {}
    times: dict[str, list[float]] = {name: [] for name in judges}
    for turn in track(range(repeats + 1), "judging", transient=True):
        for name, judge in judges.items():
            if turn == 0 and name == BASE:
                continue  # its tokens are those of the prompts; only its time needs a run
            started = time.process_time()
            usages = [judgement.usage for judgement in judge.judge(asked[LAYOUTS[name][2]])]
            if turn > 0:  # the first round starts the engines
                times[name].append(1000 * (time.process_time() - started) / pairs)
            total = {part: sum(int(getattr(one, part).sum()) for one in usages if one) / pairs
                     for part in ("calls", "prompt_tokens", "computed_tokens")}  # fmt: skip
            rows[name] = {"prompt_tokens": total["prompt_tokens"] / total["calls"], "calls_per_pair": total["calls"],
                          "computed_per_pair": total["computed_tokens"]}  # fmt: skip
    return {name: {**rows[name], "cpu_ms_per_pair": statistics.median(times[name])} for name in judges}


def table_of(rows: dict[str, dict[str, float]]) -> Table:
    """For the terminal; ratios against no prefix cache."""
    table = Table(title="what a judgement costs, by the layout of its prompt", title_justify="left")
    table.add_column("layout")
    for name in ("tokens/prompt", "computed/pair", "fewer", "CPU ms/pair", "faster"):
        table.add_column(name, justify="right")
    base = rows[BASE]
    for name, row in rows.items():
        table.add_row(
            name, f"{row['prompt_tokens']:,.0f}", f"{row['computed_per_pair']:.1f}",
            f"{base['computed_per_pair'] / row['computed_per_pair']:.1f} x", f"{row['cpu_ms_per_pair']:.2f}",
            f"{base['cpu_ms_per_pair'] / row['cpu_ms_per_pair']:.1f} x",
        )  # fmt: skip
    return table


if __name__ == "__main__":
    main()
