"""The catalogue head: a categorical distribution over N items, the hot loop of everything.

One interface (a `distrax.Distribution` with sample, log_prob, entropy, mode, top_k), two implementations: dense and
blocked. `choose_plan` picks one, `catalogue_distribution` builds it, and
`head_statistics` gives the log-probabilities and entropies a policy gradient needs.
"""

from ialp_jax.policies.catalogue.blocked import BlockedDistribution
from ialp_jax.policies.catalogue.dense import CatalogueDistribution
from ialp_jax.policies.catalogue.head import (
    ItemDistribution,
    catalogue_distribution,
    catalogue_logits,
    head_statistics,
)
from ialp_jax.policies.catalogue.masking import MASKED, mask_logits
from ialp_jax.policies.catalogue.plan import Choice, HeadPlan, choose_plan
from ialp_jax.policies.catalogue.products import Matmul
from ialp_jax.policies.catalogue.sampling import BLOCK_ITEMS, inverse_cdf
from ialp_jax.policies.catalogue.softmax import HeadStatistics

__all__ = [
    "BLOCK_ITEMS",
    "MASKED",
    "BlockedDistribution",
    "CatalogueDistribution",
    "Choice",
    "HeadPlan",
    "HeadStatistics",
    "ItemDistribution",
    "Matmul",
    "catalogue_distribution",
    "catalogue_logits",
    "choose_plan",
    "head_statistics",
    "inverse_cdf",
    "mask_logits",
]
