"""Matrix factorisation of the offline users' logs; new users are folded in from their history, and never again."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from ialp_jax.methods.base import Budget, Card, Common, OfflineFit, Rival, Stage, online_needs
from ialp_jax.methods.families import RECOMMENDERS
from ialp_jax.methods.learners.fold_in import FoldInServer
from ialp_jax.methods.needs import Need
from ialp_jax.methods.options import Flat
from ialp_jax.methods.registry import register
from ialp_jax.recommenders.factors import FactorsConfig
from ialp_jax.recommenders.fold_in import fit_fold_in


@register("mf")
@dataclass(frozen=True)
class MatrixFactorisation:
    """The best item by a factorisation of the offline users' logs, folded in from a user's history."""

    factors: Annotated[FactorsConfig, Flat] = FactorsConfig()
    """The factorisation."""
    calibrated: bool = True
    """Whether recorded sessions of offline users say how much popularity counts beside personal taste."""
    look: bool = False
    """Whether what is too like the last recommended items is not recommended."""

    card: ClassVar[Card] = Card(
        "matrix factorisation", "factors of the logs, folded in from the history, greedy", RECOMMENDERS,
        learns_online=False, stochastic=False, default=True, landmark="simple", paper="Hu et al. 2008, doi 10.1109/ICDM.2008.22",
        rivals=(Rival("popular", "mean_reward", "Does personal taste earn more than popularity?"),),
    )  # fmt: skip
    builds_on: ClassVar[tuple[str, ...]] = ()

    def stages(self, study: Common) -> tuple[Stage, ...]:
        """Fitted on the host, then measured."""
        del study
        needs = online_needs(self.look) | ({Need.RECORDED} if self.calibrated else set())
        fit = OfflineFit(fit_fold_in, self.factors)
        return (Stage("mf", FoldInServer, self.calibrated, needs=needs, fitted=fit, budget=Budget.MEASURE),)
