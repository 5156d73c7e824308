"""The kit of judges on a tiny model. Its engines live as long as the session, so the same judge is built anew."""

import pytest

from ialp_jax.testing import JudgeTests
from ialp_jax.testing.judges import small_requests


@pytest.mark.parametrize("mode", ["pointwise", "list", "classify"])
class TestVLLM(JudgeTests):
    judge = "vllm"
    tolerance = 1e-4  # other batches are other sums

    @pytest.fixture(autouse=True)
    def tiny(self, qwen, judge_of, mode):
        self.engine = judge_of(
            qwen, small_requests(), mode, **({"list_size": 4, "permutations": 2} if mode == "list" else {})
        )

    def built(self):
        return self.engine
