"""What a model's place may be, and what is read of it before it is loaded."""

import json
import shutil
from dataclasses import replace

import pytest
from asked import PLAIN, make_requests
from transformers import Gemma3Config

from ialp_jax.artifacts import InputError
from ialp_jax.preferences.judges.vllm import Config, build
from ialp_jax.preferences.prompting import vllm_engine
from ialp_jax.preferences.prompting.estimate import Assumptions, estimate_job, kv_bytes
from ialp_jax.preferences.prompting.model_files import find_model, parameters, size_in_words

CONTEXT = 640


@pytest.fixture
def nested(qwen, tmp_path):
    """A model's folder whose config keeps all that concerns text apart, and leaves the family's defaults out."""
    shutil.copytree(qwen, tmp_path / "nested")
    text = {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": CONTEXT,
    }
    config = {
        "model_type": "gemma3",
        "architectures": ["Gemma3ForConditionalGeneration"],
        "text_config": text,
    }
    (tmp_path / "nested" / "config.json").write_text(json.dumps(config))
    return tmp_path / "nested"


def test_a_nested_config_is_read_with_its_familys_defaults(nested):
    requests = make_requests(PLAIN)
    judge = build(requests.context, Config(model=str(nested), dtype="float32"))
    assert judge.info.settings["max_model_len"] == CONTEXT
    known = Gemma3Config().get_text_config()
    assert kv_bytes(judge.files.language_config, 4) == 2 * 2 * known.head_dim * 1 * 4
    found = estimate_job(
        requests, judge, judge.files, block=32, dtype="float32", states_per_shard=16, assumed=Assumptions()
    )
    assert found.kv_cache > 0 and found.calls == 3 * len(PLAIN)


def test_an_unknown_kind_of_model_is_named(nested):
    (nested / "config.json").write_text(json.dumps({"model_type": "of tomorrow"}))
    with pytest.raises(InputError, match=r"nested, .*transformers knows no model of type 'of tomorrow'"):
        build(make_requests(PLAIN).context, Config(model=str(nested)))
    told = {
        "model_type": "of tomorrow",
        "text_config": {"num_attention_heads": 2, "max_position_embeddings": 99},
    }
    (nested / "config.json").write_text(json.dumps(told))
    assert build(make_requests(PLAIN).context, Config(model=str(nested))).info.settings["max_model_len"] == 99


def test_a_model_for_llama_cpp_is_called_one(tmp_path):
    (tmp_path / "small.gguf").write_bytes(b"GGUF")
    for place in (tmp_path, tmp_path / "small.gguf"):
        with pytest.raises(InputError, match=r"it is a GGUF model.*judge with openai --base-url"):
            find_model(str(place), None)


def test_a_place_without_a_model_is_named(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    for place in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(InputError, match=r"no folder of a Hugging Face model: there is no config\.json"):
            find_model(str(place), None)


def test_the_statement_says_how_large_the_model_is_and_what_it_computes_in(qwen, tmp_path):
    shutil.copytree(qwen, tmp_path / "small")
    (tmp_path / "small" / "ialp_model.json").unlink()
    context = make_requests(PLAIN).context
    judge = build(context, Config(model=str(tmp_path / "small"), dtype="float32"))
    number = parameters(judge.files)
    assert 0 < number < 1e6
    assert judge.info.statement.startswith(
        f"The language model small ({number / 1e6:.3g} M parameters, float32) judged through vLLM"
    )
    packed = replace(
        judge.files, config=judge.files.config | {"quantization_config": {"quant_method": "awq"}}
    )
    assert size_in_words(packed) == "weights quantised by awq"
    assert size_in_words(replace(judge.files, on_hub=True)) == ""


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("fpu avx2 avx512f", "float32"), ("avx2 avx512_bf16", "auto"), ("asimd bf16", "auto"), (None, "auto")],
)
def test_a_cpu_without_bfloat16_computes_in_float32_unless_told(monkeypatch, tmp_path, flags, expected):
    if flags is not None:
        (tmp_path / "cpuinfo").write_text(f"flags\t\t: {flags}\n")
    known = vllm_engine.has_bfloat16(tmp_path / "cpuinfo")
    monkeypatch.setattr(vllm_engine, "has_bfloat16", lambda: known)
    monkeypatch.setattr(vllm_engine, "engine_version", lambda: ("1", True))
    assert vllm_engine.chosen_dtype("auto") == expected
    assert vllm_engine.chosen_dtype("bfloat16") == "bfloat16"
    monkeypatch.setattr(vllm_engine, "engine_version", lambda: ("1", False))
    assert vllm_engine.chosen_dtype("auto") == "auto"  # a GPU
