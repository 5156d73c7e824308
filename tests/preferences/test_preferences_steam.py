"""The room on the real steam log, where it is present."""

import numpy as np

from ialp_jax.data import steam
from ialp_jax.data.build import DataConfig
from ialp_jax.preferences.candidates import CandidateConfig
from ialp_jax.preferences.job.job import run_job
from ialp_jax.preferences.judges import build_judge
from ialp_jax.preferences.quality.ranking import auc_against
from ialp_jax.preferences.states import interaction_matrix, user_states


def test_the_content_judge_knows_steam_users_and_the_shuffled_control_does_not(shared_data, tmp_path):
    dataset = steam.load(shared_data / "steam", DataConfig())
    table = run_job(
        dataset, build_judge("content", dataset), CandidateConfig(), tmp_path / "table", progress=False
    )
    users = user_states(dataset).users
    assert table.num_judgements == 200 * users.size
    held_out = interaction_matrix(dataset, users, "held_out")
    known, control = (auc_against(*made.dense(), held_out).all_pairs for made in (table, table.shuffled(0)))
    # Measured: 0.78 over all pairs with unjudged as zero; the control keeps what popularity alone tells.
    assert known > 0.75 > control + 0.03
    assert np.all((table.score > 0) & (table.score < 1))
