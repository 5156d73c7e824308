"""The kit of judges on a tiny model. Its engines live as long as the session, so the same judge is built anew."""

import pytest

from ialp_jax.testing import JudgeTests
from ialp_jax.testing.judges import small_requests


class TestVLLM(JudgeTests):
    judge = "vllm"
    tolerance = 1e-4  # other batches are other sums

    @pytest.fixture(autouse=True)
    def tiny(self, qwen, judge_of):
        self.engine = judge_of(qwen, small_requests())

    def built(self):
        return self.engine
