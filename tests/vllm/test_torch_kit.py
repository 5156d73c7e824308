"""The kit of judges on those that PyTorch and transformers run, with tiny random models."""

import pytest
from tiny_models import make_encoder

from ialp_jax.preferences.judges import build_judge
from ialp_jax.preferences.judges.embedding import Config as Embedding
from ialp_jax.preferences.judges.likelihood import Config as Likelihood
from ialp_jax.testing import JudgeTests
from ialp_jax.testing.judges import small_logs


class TestLikelihood(JudgeTests):
    judge = "likelihood"

    @pytest.fixture(autouse=True, params=["personal", "whole"])
    def tiny(self, qwen, request, tmp_path):
        self.config = Likelihood(
            model=str(qwen), score=request.param, dtype="float32", device="cpu", cache=tmp_path
        )

    def built(self):
        return build_judge("likelihood", small_logs(), self.config)


class TestEmbedding(JudgeTests):
    judge = "embedding"

    @pytest.fixture(autouse=True)
    def tiny(self, tmp_path):
        folder = make_encoder(tmp_path / "encoder")
        (folder / "ialp_model.json").unlink()
        self.config = Embedding(model=str(folder), device="cpu", cache=tmp_path / "cache")

    def built(self):
        return build_judge("embedding", small_logs(), self.config)
