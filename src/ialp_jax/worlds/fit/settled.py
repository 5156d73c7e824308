"""The settings a world is fitted with: as configured, or a weaker penalty where that leaves users no taste of their own."""

from dataclasses import dataclass, replace

from ialp_jax.data.dataset import Dataset
from ialp_jax.worlds.fit.accuracy import HeldOutAccuracy, accuracies
from ialp_jax.worlds.fit.config import FitConfig
from ialp_jax.worlds.fit.factors import HeldOut, hold_out

WEAKER = (1 / 3, 0.1, 1 / 30)  # of the configured penalty


@dataclass(frozen=True)
class SettledFit:
    """The settings in force, and how well a factorisation with them predicts what it was not fitted to.

    Attributes:
        config: as asked, but for the penalty.
        asked: the configured penalty.
        blind_auc: the AUC with it where another one is in force; None where it is in force itself.
        held_out: the interactions that were kept from that factorisation.
        accuracy: on them.
    """

    config: FitConfig
    asked: float
    held_out: HeldOut
    accuracy: HeldOutAccuracy
    blind_auc: float | None = None

    @property
    def weakened(self) -> bool:
        """Whether the penalty is weaker than the configured one."""
        return self.config.regularisation != self.asked


def settle(dataset: Dataset, config: FitConfig) -> SettledFit:
    """Measures the configured penalty, and weaker ones where with it knowing the user does not clearly help.

    The penalty that suits large logs takes all taste from users of small ones. Of the weaker penalties the one with the highest
    held-out AUC is in force, if with it knowing the user clearly helps; else the configured one. Only logs of real users are
    treated so: where users are invented, more of them can be.
    """
    configured = _measured(dataset, config, config)
    if not may_weaken(dataset, config) or configured.accuracy.personal is not False:
        return configured
    tried = [
        _measured(dataset, config, replace(config, regularisation=share * config.regularisation))
        for share in WEAKER
    ]
    best = max(tried, key=lambda fit: fit.accuracy.of["factorisation"].auc or 0.0)
    if not best.accuracy.personal:
        return configured
    return replace(best, blind_auc=configured.accuracy.of["factorisation"].auc)


def may_weaken(dataset: Dataset, config: FitConfig) -> bool:
    """Whether another penalty than the configured one may come into force."""
    return config.weaken and dataset.source == "logs" and dataset.known_ratings is None


def _measured(dataset: Dataset, asked: FitConfig, config: FitConfig) -> SettledFit:
    held_out = hold_out(dataset, config)
    return SettledFit(config, asked.regularisation, held_out, accuracies(dataset, config, held_out))
