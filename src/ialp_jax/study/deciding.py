"""Logs or texts: decided by recorded sessions of offline users, before anything is trained.

The rule was chosen on halves of the offline users of Steam and Last.fm (docs/learning.md): what is kept apart decides most of
what few logs cost, and the logs' distances are good for it exactly where recorded exits go with them. Start and world follow
the logs wherever these say what is kept apart, even where the table ranks answers better: there policies that start from
factors earned more.
"""

from dataclasses import fields, replace

import numpy as np

from ialp_jax.artifacts import fingerprint
from ialp_jax.data.dataset import offline_users
from ialp_jax.evaluation.statistics import mean_interval
from ialp_jax.recommenders.agreement import above_own_mean, auc_by_user
from ialp_jax.recommenders.exits import CLEARLY, exit_ratio, exits_go_with_likeness, nearest_recent
from ialp_jax.study.calibrated import MOST_APART, kept_apart_within
from ialp_jax.study.decision import LOGS, TEXTS, Decision, Side, asked_by, concrete
from ialp_jax.study.factors import likeness_points
from ialp_jax.study.held_out import affinities_of_others, turns_by_user
from ialp_jax.study.inputs import Inputs
from ialp_jax.study.stages import APART, identity
from ialp_jax.worlds.fit.points import sampled_distances


def decide(inputs: Inputs, before: Decision | None = None) -> Decision:
    """What auto stands for in a study.

    Args:
        inputs: of the study as it was asked for; recorded sessions and what they are compared with are made.
        before: what was decided when the study that is gone on with began; it stays if it was decided from the same.
    """
    config, statements = inputs.config, []
    asked = dict(asked_by(config))
    questions = sorted({mark.question for mark in asked.values()})
    groups = [field.name for field in fields(config) if field.name not in APART]
    read = {name: identity(getattr(config, name)) for name in groups}
    basis = fingerprint(read, questions, inputs.dataset.fingerprint, inputs.given_table)
    if before is not None and before.basis == basis:
        return replace(before, asked=tuple(asked))
    likeness: Side = LOGS
    start: Side = LOGS
    if "likeness" in questions:
        likeness, said = _likeness(inputs)
        statements.append(said)
    elif config.likeness.source == "text":
        likeness = TEXTS
    if "start" in questions and likeness == TEXTS:
        start, said = _start(inputs)
        statements.append(said)
    elif "start" in questions:
        statements.append("Policies start from the logs too, as wherever these say what is kept apart.")
    return Decision(likeness, start, tuple(asked), tuple(questions), tuple(statements), basis)


def _likeness(inputs: Inputs) -> tuple[Side, str]:
    """Whose distances say what is kept apart: the texts' where recorded exits do not go with the logs', but yet may.

    They go with them where the rule of the logs keeps anything apart, and that near turns end more often is no chance; they may
    not where the interval of how much more often excludes what is clear.
    """
    rule, points = inputs.config.likeness, likeness_points(inputs.factors)
    distance, left = nearest_recent(inputs.recorded, points, rule.window)
    share = 100 * MOST_APART if rule.at_most is None else rule.at_most
    widest = float(np.percentile(sampled_distances(points, 0), share))
    kept = kept_apart_within(inputs.recorded, points, rule.window, rule.exit_rate, rule.at_most)
    near = distance < widest
    counts = f"{_ended(left[near], 'near')}, {_ended(left[~near], 'far')}"
    least, most = exit_ratio(distance, left, widest)
    if least > 1.0 and (kept.distance or exits_go_with_likeness(distance, left, widest)):
        return (
            LOGS,
            f"The logs' distances say what is kept apart: recorded sessions of offline users end by them ({counts}).",
        )
    if most < CLEARLY:
        return LOGS, ("The logs' distances say what is kept apart, which is nothing: recorded sessions of offline users are many "
                      f"enough to show that they do not end by likeness ({counts}).")  # fmt: skip
    apart, users = concrete(inputs.config, Decision(TEXTS)).likeness, len(offline_users(inputs.dataset))
    return TEXTS, (f"The items' texts say what is kept apart, the nearest {apart.percentile:g} % of pairs: recorded sessions of "
                   f"{users:,} offline user{'s' * (users > 1)} are too few to tell whether they end by the logs' distances "
                   f"({counts}).")  # fmt: skip


def _ended(left: np.ndarray, where: str) -> str:
    """How many turns ended a session, in words."""
    if not left.size:
        return f"no {where} turn"
    return f"{left.sum():,} of {left.size:,} {where} turns ended with an exit"


def _start(inputs: Inputs) -> tuple[Side, str]:
    """What policies start from: the texts and the table where they clearly rank recorded answers better than others' logs."""
    turns = turns_by_user(inputs.dataset, inputs.recorded)
    if turns.users < 2:
        return (
            LOGS,
            "Policies start from the logs: of one user no logs of others can be held against the table.",
        )
    liked = above_own_mean(turns.feedback, turns.user)
    logs = affinities_of_others(inputs.dataset, inputs.config.factors, inputs.recorded, turns)
    asked = np.array([users[0] for users in turns.offline])[turns.user]
    table = np.asarray(inputs.table_scores)[asked, turns.item]
    ranked = [auc_by_user(scores, liked, turns.user, turns.users) for scores in (table, logs)]
    counted = ~np.isnan(ranked[0])
    if not counted.any():
        return LOGS, "Policies start from the logs: no recorded user liked one item more than another."
    by_table, by_logs = (values[counted] for values in ranked)
    difference = mean_interval(by_table - by_logs)
    choice = TEXTS if difference.low > 0 else LOGS
    chosen = "the items' texts and the table" if choice == TEXTS else "the logs"
    clearly = "" if difference.excludes_zero else ", which is not clear"
    return choice, (f"Policies start from {chosen}: on recorded sessions of {counted.sum():,} offline users the table ranks what they "
                    f"liked at {by_table.mean():.2f}, the logs of the others at {by_logs.mean():.2f} (AUC; difference "
                    f"{difference.mean:+.2f}, 95 % interval {difference.low:+.2f} to {difference.high:+.2f}{clearly}).")  # fmt: skip
