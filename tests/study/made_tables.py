"""Preference tables made on the spot by judges that are no models."""

from dataclasses import replace

import numpy as np

from ialp_jax.data.build import DataConfig
from ialp_jax.data.synthetic import SyntheticConfig
from ialp_jax.environments import Environment
from ialp_jax.preferences.candidates import CandidateConfig
from ialp_jax.preferences.job.job import finish_job, judge_shard, open_job
from ialp_jax.preferences.job.plan import plan_job
from ialp_jax.preferences.judges import JudgeInfo, Judgement, Usage
from ialp_jax.preferences.states import interaction_matrix

LLM = JudgeInfo("spy", True, "imagined-9b", "r1", "t", {}, "The language model imagined-9b judged.")
DOUBLE = replace(LLM, is_llm=False, test_double=True, statement="TEST DOUBLE: a spy of a test judged.")


def tiny_dataset(seed=0, logged_users=None, new_items=0.0):
    """Fifty invented users."""
    synthetic = SyntheticConfig(num_users=50, num_items=60, mean_interactions=12.0)
    environment = Environment("fifty invented users", synthetic=synthetic)
    return environment.dataset(
        None,
        DataConfig(k_core=2, history_length=4, seed=seed, logged_users=logged_users, new_items=new_items),
        "tiny",
    )


class Spy:
    """Knows what every user likes (`knows`, which no judge should) or says 0.5 of everything; one call per pair.

    A pair whose user is in `rejects` is not judged.
    """

    def __init__(self, info, likes, knows=True, rejects=(), shift=0.0):
        self.info, self.likes, self.knows, self.rejects, self.shift = info, likes, knows, rejects, shift

    def judge(self, requests):
        return [self._one(request) for request in requests]

    def _one(self, request):
        items = np.array(request.items)
        scores = np.full(items.size, 0.5, np.float32)
        if self.knows:
            scores = (
                np.where(self.likes[request.state, items], 0.9, 0.1) + self.shift + (37 * items % 61) * 1e-3
            )
        if request.state in self.rejects:
            scores = np.full(items.size, np.nan)
        raw = ["rejected: by the test" if np.isnan(score) else "Yes" for score in scores]
        ones = np.ones(items.size, np.int32)
        return Judgement(scores.astype(np.float32), raw, usage=Usage(ones, 100 * ones, 20 * ones))


def make_table(dataset, directory, info=LLM, *, states=None, split="offline", **spy):
    """Plans, judges and finishes a table in `directory`."""
    requests = plan_job(dataset, CandidateConfig(20, 10, 5), directory, split=split, states=states)
    likes = interaction_matrix(dataset, requests.states["user"].to_numpy(), "held_out")
    job = open_job(directory, info)
    for shard in range(job.num_shards):
        judge_shard(job, Spy(info, likes, **spy), shard)
    return finish_job(job)
