"""The judge `openai` against vLLM's own server: its log-probabilities are those of transformers in float32."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from ialp_jax.artifacts import InputError
from ialp_jax.preferences.judges.base import JudgeContext, JudgeRequest
from ialp_jax.preferences.judges.openai import Config, OpenAIJudge, build
from ialp_jax.preferences.prompting import prompts
from ialp_jax.preferences.prompting.spellings import spellings

CONTEXT = JudgeContext("games", "implicit")
ITEMS = ("Space Trader", "Silver Band", "Night City", "Größe 漢字", "Iron Castle", "The Long Road", "B", "")
DEADLINE = 180.0  # seconds until the server must be ready; 30 on two quiet cores


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_ready(process: subprocess.Popen, url: str, log: Path) -> None:
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    raise RuntimeError(f"the server is not ready (exit status {process.poll()}):\n{log.read_text()[-3000:]}")


@pytest.fixture(scope="module")
def url(qwen: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Base address of a server of the tiny Qwen, which ends with the module, whatever happens."""
    port, log = free_port(), tmp_path_factory.mktemp("server") / "log"
    command = [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(qwen), "--served-model-name", "tiny",
        "--host", "127.0.0.1", "--port", str(port), "--dtype", "float32", "--enforce-eager", "--block-size", "32",
        "--kv-cache-memory-bytes", str(64 << 20), "--max-model-len", "1024", "--max-num-seqs", "64",
        "--enable-prompt-tokens-details",
    ]  # fmt: skip
    with open(log, "w") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            env={**os.environ, "NO_PROXY": "127.0.0.1"},
        )  # fmt: skip
    try:
        wait_until_ready(process, f"http://127.0.0.1:{port}/health", log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # the engine may be a process of its own
        process.wait()


def server_judge(url: str, **options) -> OpenAIJudge:
    # Less patient than usual: a server that hangs fails the test before pytest-timeout ends the process without clean-up.
    usual = {"model": "tiny", "base_url": url, "test_double": True, "timeout": 30.0, "max_retries": 1}
    return build(CONTEXT, Config(**{**usual, **options}))


def request_of(state: int, titles: list[str]) -> JudgeRequest:
    text = prompts.state_text("games", "implicit", titles, [0.1 + 0.2 * n for n in range(len(titles))])
    texts = tuple(prompts.item_text(title, "puzzle, racing") for title in ITEMS)
    return JudgeRequest(state, state, text, (0,), (1.0,), tuple(range(len(ITEMS))), texts)


REQUESTS = [request_of(0, ["Iron Castle", "The Last Winter"]), request_of(1, [])]


PAIRS = [(request.state_text, text) for request in REQUESTS for text in request.item_texts]
NOBODY = (prompts.state_text("games", "implicit", [], []), prompts.item_text("", ""))


def by_transformers(folder: Path, pairs: list[tuple[str, str]], **template: bool) -> np.ndarray:
    """Log-probabilities of every next token, by transformers, of the conversation written out here once more."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    logs = []
    for state, item in pairs:
        words = state + "\n" + prompts.question("games") + item
        chat = [{"role": "system", "content": prompts.system("games")}, {"role": "user", "content": words}]
        ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=False, **template)
        with torch.inference_mode():
            logs.append(model(torch.tensor([ids])).logits[0, -1].log_softmax(-1).numpy())
    return np.stack(logs)


def test_labels_by_id_are_those_of_transformers(url, qwen):
    tokenizer = AutoTokenizer.from_pretrained(qwen)
    logs = by_transformers(qwen, PAIRS, enable_thinking=False)
    spelled = [
        [
            ids[0]
            for way in spellings(word)
            if len(ids := tokenizer.encode(way, add_special_tokens=False)) == 1
        ]
        for word in ("yes", "no")
    ]
    assert min(map(len, spelled)) > 1
    log_yes, log_no = (logsumexp(logs[:, tokens], axis=1) for tokens in spelled)
    p_yes = 1 / (1 + np.exp(log_no - log_yes))
    assert np.ptp(p_yes) > 0.1  # the prompt matters, so that equality says something
    judgements = server_judge(url, server="vllm").judge(REQUESTS)
    np.testing.assert_allclose(np.concatenate([one.scores for one in judgements]), p_yes, atol=1e-5)
    np.testing.assert_allclose(np.concatenate([one.log_yes for one in judgements]), log_yes, atol=1e-5)
    np.testing.assert_allclose(np.concatenate([one.log_no for one in judgements]), log_no, atol=1e-5)
    for usage in (one.usage for one in judgements):
        assert usage.calls.tolist() == [1] * len(ITEMS) and np.all(usage.prompt_tokens > 60)
        # Later items of a state find its history in the server's prefix cache.
        assert np.all(usage.computed_tokens > 0) and usage.computed_tokens.sum() < usage.prompt_tokens.sum()


def test_labels_by_text_are_exact_where_listed_and_bounded_where_not(url, qwen):
    *logs, nobody = by_transformers(
        qwen, [*PAIRS, NOBODY]
    )  # nobody switches thinking off for a server of any kind
    logs = np.stack(logs)
    words, ids = labels_sometimes_listed(AutoTokenizer.from_pretrained(qwen), logs, nobody)
    judgements = server_judge(url, labels=words).judge(REQUESTS)
    found = np.stack(
        [np.concatenate([getattr(one, name) for one in judgements]) for name in ("log_yes", "log_no")]
    )
    exact, listed = logs[:, ids].T, most_probable(logs)[:, ids].T
    rejected = ~listed.any(axis=0)
    bounded = ~listed & ~rejected
    assert listed.all(axis=0).any() and bounded.any()  # all cases are met
    np.testing.assert_allclose(found[listed], exact[listed], atol=1e-5)
    assert np.all(found[bounded] >= exact[bounded])
    raw = [text for one in judgements for text in one.raw]
    np.testing.assert_array_equal(["not listed" in text for text in raw], bounded.any(axis=0))
    np.testing.assert_array_equal(np.isnan(np.concatenate([one.scores for one in judgements])), rejected)


def most_probable(logs: np.ndarray) -> np.ndarray:
    """Which tokens are among the 20 most probable."""
    return logs >= np.sort(logs, axis=-1)[..., -20, None]


def labels_sometimes_listed(
    tokenizer: PreTrainedTokenizerBase, logs: np.ndarray, nobody: np.ndarray
) -> tuple[tuple[str, str], list[int]]:
    """Words for "yes", among the most probable tokens as often as can be, and "no", sometimes; and their ids."""
    counts = most_probable(logs).sum(axis=0)
    words = [tokenizer.decode([token]) for token in range(len(tokenizer))]
    bare = [word.strip().lower() for word in words]
    usable = [token for token, word in enumerate(words) if word.isalpha() and bare.count(word.lower()) == 1]
    yes = max((token for token in usable if most_probable(nobody)[token]), key=lambda token: counts[token])
    both = most_probable(logs)[:, [yes]] & most_probable(logs)
    no = next(token for token in usable if 0 < both[:, token].sum() < counts[yes])
    return (words[yes], words[no]), [yes, no]


def test_a_pair_that_is_too_long_is_rejected_with_the_servers_words(url):
    long = JudgeRequest(2, 2, "long " * 2000, (0,), (1.0,), (0, 1), ("a", "b"))
    judgement, usual = server_judge(url, server="vllm").judge([long, REQUESTS[1]])
    assert np.isnan(judgement.scores).all() and np.isfinite(usual.scores).all()
    assert all(
        text.startswith("rejected: the server refused it: ") and "1024" in text for text in judgement.raw
    )


def test_settings_the_server_does_not_know_are_named(url):
    with pytest.raises(InputError, match=r"column model: .*knows no model 'other'"):
        server_judge(url, server="vllm", model="other").judge(REQUESTS)
    with pytest.raises(InputError, match="the label 'Silver Band' is not one token of 'tiny'"):
        server_judge(url, server="vllm", labels=("yes", "Silver Band")).judge(REQUESTS)
