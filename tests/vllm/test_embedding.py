"""The embedding judge: its vectors are the encoder's means over tokens, made once; its fit is the content judge's."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from tiny_models import make_encoder
from transformers import AutoModel, AutoTokenizer

from ialp_jax.artifacts import InputError
from ialp_jax.preferences.judges import build_judge, embedding
from ialp_jax.preferences.judges.base import JudgeContext
from ialp_jax.preferences.judges.embedding import Config
from ialp_jax.preferences.prompting.model_files import find_model
from ialp_jax.preferences.prompting.sentence_vectors import sentence_vectors
from ialp_jax.preferences.states import documents
from ialp_jax.testing.judges import small_logs, small_requests

TEXTS = ["Space Trader", "", "Iron Castle. strategy, indie", "Night City " * 40, "Space Trader"]


@pytest.fixture(scope="session")
def encoder(tmp_path_factory):
    return make_encoder(tmp_path_factory.mktemp("models") / "encoder")


@pytest.fixture
def config(encoder, tmp_path):
    return Config(model=str(encoder), device="cpu", cache=tmp_path / "cache")


def vectors(folder, texts=TEXTS, max_tokens=50, at_once=2):
    return sentence_vectors(
        find_model(str(folder), None), texts, device="cpu", max_tokens=max_tokens, at_once=at_once
    )


def test_vectors_are_means_over_a_texts_own_tokens(encoder):
    tokenizer, model = AutoTokenizer.from_pretrained(encoder), AutoModel.from_pretrained(encoder).eval()
    found = vectors(encoder)
    for text, vector in zip(TEXTS, found, strict=True):
        if not text:
            assert not vector.any()
            continue
        ids = tokenizer(text)["input_ids"][:50]
        with torch.inference_mode():
            mean = model(torch.tensor([ids])).last_hidden_state[0].mean(0)
        np.testing.assert_allclose(vector, (mean / mean.norm()).numpy(), atol=1e-5)
    np.testing.assert_allclose(found[0], found[4], atol=1e-6)
    assert found[0] @ found[2] < 0.99  # texts matter, so that equality says something
    np.testing.assert_allclose(
        vectors(encoder, at_once=5), found, atol=1e-5
    )  # what fills a batch up does not count
    assert vectors(encoder, max_tokens=10_000).shape == found.shape  # the encoder's own limit is 64


def test_they_are_made_once_for_the_same_texts_and_encoder(config, encoder, monkeypatch, tmp_path):
    logs, made = small_logs(), []
    monkeypatch.setattr(
        embedding,
        "sentence_vectors",
        lambda files, texts, **told: made.append(len(texts)) or vectors(encoder, texts),
    )
    first, second = (build_judge("embedding", logs, config) for _ in range(2))
    requests = [small_requests().make(state) for state in range(3)]
    for one, other in zip(first.judge(requests), second.judge(requests), strict=True):
        np.testing.assert_array_equal(one.scores, other.scores)
    assert made == [logs.num_items]
    build_judge("embedding", logs, replace(config, popularity_prior=False))  # of another fit
    assert len(made) == 1
    build_judge("embedding", logs, replace(config, attributes=False))
    build_judge("embedding", logs, replace(config, model=str(make_encoder(tmp_path / "other", seed=1))))
    assert len(made) == 3
    for file in (tmp_path / "cache" / "embedding").iterdir():
        np.savez(file, vectors=np.zeros((2, 2), np.float32))
    with pytest.raises(InputError, match="it holds arrays"):
        build_judge("embedding", logs, config)


def test_online_users_interactions_are_never_read(config):
    logs = small_logs()
    online = logs.users.filter(pl.col("split") == "online")["user"]
    assert online.len()
    kept = logs.interactions.filter(~pl.col("user").is_in(online.implode()))
    other = replace(logs, interactions=kept)
    assert build_judge("embedding", logs, config).info == build_judge("embedding", other, config).info


def test_it_says_that_no_language_model_judged(config, encoder):
    info = build_judge("embedding", small_logs(), config).info
    assert info.test_double and not info.is_llm
    (encoder / "ialp_model.json").rename(encoder / "kept.json")
    try:
        info = build_judge("embedding", small_logs(), config).info
    finally:
        (encoder / "kept.json").rename(encoder / "ialp_model.json")
    assert (
        not info.test_double
        and not info.is_llm
        and info.statement.startswith("No language model judged: the sentence-embedding")
    )
    assert "M parameters, float32" in info.statement and "popularity prior" in info.statement
    assert {"cosine_weight", "intercept", "torch"} < info.settings.keys()


def test_without_the_prior_only_the_text_speaks(config):
    judge = build_judge("embedding", small_logs(), replace(config, popularity_prior=False))
    assert judge.info.settings["log_popularity_weight"] == 0 and "prior)" not in judge.info.statement
    request = small_requests().make(0)
    (judgement,) = judge.judge([request])
    cosines = [float(answer.removeprefix("cosine ")) for answer in judgement.raw]
    order = np.argsort(cosines) if judge.info.settings["cosine_weight"] > 0 else np.argsort(cosines)[::-1]
    assert (np.diff(judgement.scores[order]) >= 0).all()


def test_logs_are_needed(config):
    with pytest.raises(InputError, match=r"fitted to logs.*without --engine ray"):
        embedding.build(JudgeContext("games", "implicit"), config)
    assert documents(small_logs())[0]
