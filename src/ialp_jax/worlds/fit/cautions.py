"""What a reader must know before results in a fitted world are believed: `ialp check`, terminal and page say the same."""

from ialp_jax.data.dataset import Dataset
from ialp_jax.worlds.fit.settled import SettledFit

ALIKE = 0.99  # share of what ratings differ by that item means explain, from which on users are all alike
ONE_RATING = "Every user gives every item the same rating: no policy can be better than another."
WORDS = {"mean": "item means", "popularity": "popularity"}


def cautions(dataset: Dataset, settled: SettledFit, item_mean_share: float | None) -> tuple[str, ...]:
    """Sentences on what logs and world cannot show; empty where there is nothing to look at.

    Args:
        dataset: the logs, whose own cautions come first.
        settled: the fit to them.
        item_mean_share: share of the variance of the world's ratings that item means explain; None where there is none.
    """
    said = [*dataset.cautions]
    if item_mean_share is None:
        said.append(ONE_RATING)
    elif item_mean_share > ALIKE and (dataset.known_ratings is not None or settled.accuracy.personal):
        said.append(
            "All users rate alike: there is no taste to learn, and popularity is as good as any policy."
        )
    if dataset.known_ratings is None:
        said += _of_tastes(dataset, settled)
    return tuple(said)


def _of_tastes(dataset: Dataset, settled: SettledFit) -> list[str]:
    """Whether the users' tastes in the world are those of the logs; a published matrix need not be fitted to any."""
    accuracy, penalty = settled.accuracy, settled.config.regularisation
    auc, blind = accuracy.of["factorisation"].auc, accuracy.of[accuracy.best_blind].auc
    if auc is None or blind is None:
        reason = "no user is left an item to tell from those that were used" if dataset.feedback == "implicit" else (
            "no user has held-out ratings that differ")  # fmt: skip
        return [
            f"Held-out AUC is not measurable ({reason}): whether tastes are those of the logs is not known."
        ]
    compared = f"{auc:.3f}, {WORDS[accuracy.best_blind]} {blind:.3f}"
    if not accuracy.personal:
        return [
            f"The users' world is user-blind: knowing the user does not clearly improve the held-out AUC ({compared}), so what "
            "users prefer there is not what their logs say. Give more interactions, or other fit.rank and fit.regularisation."
        ]
    if settled.weakened:
        return [
            f"fit.regularisation is {penalty:g}, not {settled.asked:g}, with which the users' world would be user-blind: held-out "
            f"AUC {compared}, before {settled.blind_auc:.3f}. --fit.no-weaken keeps the latter."
        ]
    return []
