"""What an item without a judgement is worth, and what a policy is paid for.

Three readings for unjudged items (docs/preferences.md): (A) "candidates": only judged items may be
recommended; (B) "zero": unjudged means not preferred; (C) "model": a reward model fitted to the judgements.
"""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Bool, Float

from ialp_jax.preferences.states import UserStates
from ialp_jax.preferences.table import PreferenceTable
from ialp_jax.ranges import PositiveShare
from ialp_jax.values import checked

if TYPE_CHECKING:
    from ialp_jax.preferences.completion.reward_model import RewardModelConfig

CompletionOption = Literal["candidates", "zero", "model"]
PreferenceReward = Literal["selected", "probability"]


@dataclass(frozen=True)
@checked
class CompletedPreferences:
    """A score for every state and item.

    Attributes:
        scores: in [0, 1].
        judged: which pairs a judge was asked about; under "candidates" the only allowed actions.
        history: which items each state knows already, which are never recommended.
        option: which reading was used.
        report: why, and how well it does on held-out judgements; plain values.
        statements: sentences a report on these preferences must print.
    """

    scores: Float[np.ndarray, "S N"]
    judged: Bool[np.ndarray, "S N"]
    history: Bool[np.ndarray, "S N"]
    option: CompletionOption
    report: dict[str, Any]
    statements: tuple[str, ...]


@dataclass(frozen=True)
@checked
class LabelRule:
    """How scores become rewards.

    Attributes:
        reward: "selected" pays 1 for preferred items and 0 for others; "probability" pays the score.
        fraction: of a state's items that are preferred, the highest scores first.
        threshold: if given, preferred means a score of at least this, and `fraction` is not used.
        count_history: whether items of the state's own history count among them, though nobody recommends them.
        seed: breaks ties between equal scores.
    """

    reward: PreferenceReward = "selected"
    fraction: PositiveShare = 0.1
    threshold: PositiveShare | None = None
    count_history: bool = False
    seed: int = 0


def complete(
    table: PreferenceTable,
    option: Literal["candidates", "zero", "model", "auto"] = "auto",
    *,
    states: UserStates,
    item_vectors: Float[np.ndarray, "N D"],
    config: "RewardModelConfig | None" = None,
    seed: int = 0,
    margin: float = 0.02,
) -> CompletedPreferences:
    """Gives every pair a score.

    Args:
        table: the judgements.
        option: the reading; "auto" takes the model if its AUC on held-out judgements beats that of the items' mean
            scores by more than `margin`, else "zero": a model that is no better than these knows nobody's taste.
        states: the table's states; their histories are the model's input.
        item_vectors: content vectors of the items (`content_vectors.text_vectors`).
        config: of the reward model.
        seed: of the reward model.
        margin: see `option`.
    """
    scores, judged = table.dense()
    history = _items_of(states, table.num_items)
    if option in ("candidates", "zero"):
        return _completed(table, scores, judged, history, option, {"asked": option})
    # Imported here: this room is host only unless a model has to be fitted.
    import jax

    from ialp_jax.preferences.completion.reward_model import RewardModelConfig, fit_reward_model

    config = RewardModelConfig() if config is None else config
    filled, check = fit_reward_model(
        table, states.items, states.grades, item_vectors, config, jax.random.key(seed)
    )
    measured = {name: None if np.isnan(value) else value for name, value in asdict(check).items()}
    report = {"asked": option, "margin": margin, "config": asdict(config), **measured}
    better = bool(check.auc_model > check.auc_item_mean + margin)
    if option == "model" or better:
        return _completed(table, filled, judged, history, "model", report)
    return _completed(table, scores, judged, history, "zero", report)


def _items_of(states: UserStates, num_items: int) -> Bool[np.ndarray, "S N"]:
    marked = np.zeros((states.items.shape[0], num_items + 1), bool)
    np.put_along_axis(marked, states.items.astype(np.int64), True, axis=1)
    return marked[:, :num_items]


def _completed(
    table: PreferenceTable,
    scores: np.ndarray,
    judged: np.ndarray,
    history: np.ndarray,
    option: CompletionOption,
    report: dict[str, Any],
) -> CompletedPreferences:
    share = f"{judged.mean():.1%} of the pairs were judged"
    check = ""
    if "auc_model" in report and report["auc_model"] is None:
        check = (
            " What a reward model is worth was not measurable: no state has held-out judgements that differ."
        )
    elif "auc_model" in report:
        check = (f" On held-out judgements the reward model has AUC {report['auc_model']:.3f}, item means "
                 f"{report['auc_item_mean']:.3f}, \"not preferred\" {report['auc_zero']:.3f}.")  # fmt: skip
    sentence = {
        "candidates": f"{share}; only these may be recommended in pre-training (option A).",
        "zero": f"{share}; the others count as not preferred (option B).{check}",
        "model": f"{share}; the others have a reward model's score (option C).{check}",
    }[option]
    return CompletedPreferences(scores, judged, history, option, report, (*table.statements, sentence))


def labels(completed: CompletedPreferences, rule: LabelRule) -> Float[np.ndarray, "S N"]:
    """The reward of every pair under a rule, in [0, 1].

    Under "selected" the fraction is taken of the items that have a meaningful score: under option "model" all items
    outside the history, else the judged ones; an unjudged item is never preferred there. At least one item per state
    is preferred, unless `threshold` decides.
    """
    if rule.reward == "probability":
        return completed.scores.astype(np.float32)
    eligible = np.ones_like(completed.judged) if completed.option == "model" else completed.judged
    if not rule.count_history:
        eligible = eligible & ~completed.history
    if rule.threshold is not None:
        return (eligible & (completed.scores >= rule.threshold)).astype(np.float32)
    noise = np.random.default_rng(rule.seed).random(completed.scores.shape)
    order = np.lexsort((noise, np.where(eligible, -completed.scores, np.inf)), axis=1)
    wanted = np.maximum(1, np.round(rule.fraction * eligible.sum(axis=1)))
    chosen = np.arange(completed.scores.shape[1]) < wanted[:, None]
    preferred = np.zeros_like(eligible)
    np.put_along_axis(preferred, order, chosen, axis=1)
    return (preferred & eligible).astype(np.float32)
