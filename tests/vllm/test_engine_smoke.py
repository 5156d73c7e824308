"""The environment works: vLLM's P(yes) is that of transformers in float32, for both families."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

HISTORIES = ("", "1. Iron Castle (liked it)", "1. The Last Winter (disliked it)\n2. Night City (liked it)")
ITEMS = ("Space Trader. strategy", "Silver Band. jazz", "Größe 漢字")


def prompts_of(tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """Every history with every item, as token ids up to where the answer begins."""
    chats = [
        [{"role": "system", "content": "Answer in one word only."}, {"role": "user", "content": f"{a}\n{b}"}]
        for a in HISTORIES
        for b in ITEMS
    ]
    return tokenizer.apply_chat_template(
        chats, add_generation_prompt=True, enable_thinking=False, return_dict=False
    )


def p_yes_transformers(folder: Path, prompts: list[list[int]], labels: list[int]) -> np.ndarray:
    """P(yes | yes or no) by transformers, one prompt at a time."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        logits = [model(torch.tensor([ids])).logits[0, -1, labels] for ids in prompts]
    return torch.stack(logits).softmax(-1)[:, 0].numpy()


def p_yes_vllm(folder: Path, prompts: list[list[int]], labels: list[int]) -> np.ndarray:
    """P(yes | yes or no) by vLLM, all prompts in one batch."""
    from vllm import LLM, SamplingParams  # takes seconds to import, so not while tests are collected

    engine = LLM(
        str(folder), dtype="float32", enforce_eager=True, max_model_len=1024, max_num_seqs=64, block_size=32,
        kv_cache_memory_bytes=64 << 20,
    )  # fmt: skip
    params = SamplingParams(max_tokens=1, temperature=0, logprob_token_ids=labels)
    outputs = engine.generate([{"prompt_token_ids": ids} for ids in prompts], params, use_tqdm=False)
    found = [[output.outputs[0].logprobs[0][label].logprob for label in labels] for output in outputs]
    return torch.tensor(found).softmax(-1)[:, 0].numpy()


@pytest.mark.parametrize("family", ["qwen", "llama"])
def test_p_yes_is_that_of_transformers(family, request):
    folder = request.getfixturevalue(family)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    prompts = prompts_of(tokenizer)
    labels = [tokenizer.convert_tokens_to_ids(word) for word in ("yes", "no")]
    for word, label in zip(("yes", "no"), labels, strict=True):  # one token each, also behind the prompt
        text = tokenizer.decode(prompts[0]) + word
        assert tokenizer.encode(text, add_special_tokens=False) == [*prompts[0], label]
    expected = p_yes_transformers(folder, prompts, labels)
    assert np.ptp(expected) > 0.1  # the prompt matters, so that equality says something
    np.testing.assert_allclose(p_yes_vllm(folder, prompts, labels), expected, atol=1e-5)
