"""What a report says of the inputs of a study: the users' world, and the preference table."""

from typing import Any

import numpy as np
from jaxtyping import Float

from ialp_jax.data.dataset import offline_users
from ialp_jax.preferences.quality.ranking import state_auc
from ialp_jax.study.inputs import Inputs
from ialp_jax.study.table import judge_record
from ialp_jax.worlds.departure import REASONS
from ialp_jax.worlds.fit.accuracy import mean_or_none
from ialp_jax.worlds.fit.report import TOP_PERCENTILE, affinity_rows


def world_summary(name: str, inputs: Inputs) -> dict[str, Any]:
    """What a report says of the users' world."""
    dataset, fit, config = inputs.dataset, inputs.fit, inputs.config
    return {
        "env": name,
        "source": dataset.source,
        "users": dataset.num_users,
        "items": dataset.num_items,
        "interactions": dataset.num_interactions,
        "statements": [*dataset.statements, *fit.statements],
        "cautions": fit.cautions,
        "fit": {
            "heldout": fit.held_out,
            "held_out_interactions": fit.held_out_interactions,
            "item_mean_share": fit.item_mean_share,
            "item_mean_auc": fit.item_mean_auc,
            "popularity_auc": fit.popularity_auc,
            "popularity_personal_auc": fit.popularity_personal_auc,
            "popularity_weight": fit.popularity_weight,
            "rank": config.fit.rank,
            "regularisation": fit.regularisation,
        },
        "departure": {
            "rules": config.simulator.rules,
            "distance_threshold": fit.distance_threshold,
            "distance_percentile": fit.distance_percentile,
            "window": config.simulator.window,
            "turn_cap": config.simulator.turn_cap,
            "reasons": REASONS[1:],
        },
        "reward": {
            "low": float(inputs.world.rating_low),
            "high": float(inputs.world.rating_high),
            "statement": "Rewards are ratings summed over a session; policies train on rating / highest rating.",
        },
    }


def preference_summary(inputs: Inputs) -> dict[str, Any]:
    """What a report says of the preference table, and how well it ranks what offline users truly like."""
    table, completed = inputs.table, inputs.completed
    affinities = affinity_rows(inputs.world, table.users)
    personal = affinities - affinities.mean(axis=0)
    popularity = np.broadcast_to(inputs.popularity, affinities.shape)
    finished = inputs.finished
    return {
        **judge_record(table),
        "offline_users": len(offline_users(inputs.dataset)),
        "table": None if finished is None else finished.record(),
        "quality": None if finished is None else finished.quality,
        "gate": None if finished is None else finished.gate(),
        "statements": list(completed.statements),
        "completion": {
            "option": completed.option,
            "heldout": {key: value for key, value in completed.report.items() if key != "config"},
        },
        "auc_vs_world": _auc(completed.scores, affinities),
        "auc_vs_world_personal": _auc(completed.scores, personal),
        "auc_vs_world_popularity": _auc(popularity, affinities),
        "auc_vs_world_popularity_personal": _auc(popularity, personal),
    }


def _auc(scores: Float[np.ndarray, "S N"], affinities: Float[np.ndarray, "S N"]) -> float | None:
    """Mean over states of the AUC against each one's own top 10 % of the catalogue; None if no state has one."""
    top = affinities >= np.percentile(affinities, TOP_PERCENTILE, axis=1, keepdims=True)
    return mean_or_none(state_auc(scores, top, np.ones_like(top)))
