"""Where policies meet the catalogue head: the distribution to act with, the statistics to learn from."""

from jaxtyping import Array, Float, Int

from ialp_jax.policies.catalogue.blocked import BlockedDistribution
from ialp_jax.policies.catalogue.dense import CatalogueDistribution
from ialp_jax.policies.catalogue.masking import mask_logits
from ialp_jax.policies.catalogue.plan import HeadPlan
from ialp_jax.policies.catalogue.products import Matmul, product
from ialp_jax.policies.catalogue.softmax import HeadStatistics, chosen_logits, known_totals, totals
from ialp_jax.worlds.types import Limits

ItemDistribution = CatalogueDistribution | BlockedDistribution


def catalogue_distribution(
    plan: HeadPlan,
    query: Float[Array, "R d"],
    items: Float[Array, "N d"],
    bias: Float[Array, "N"],
    limits: Limits,
    temperature: Float[Array, ""] | float = 1.0,
) -> ItemDistribution:
    """softmax((<query, item> + bias) / temperature) over the items that may be recommended, one row per query.

    Args:
        plan: the implementation, from `choose_plan`; all give the same distribution.
        query: what the policy looks for.
        items: item embeddings.
        bias: item biases.
        limits: what may be recommended, [R] rows.
        temperature: positive; below 1 the distribution is sharper.
    """
    query, bias = query / temperature, bias / temperature
    if plan.implementation == "dense":
        return CatalogueDistribution(catalogue_logits(query, items, bias, limits, plan.matmul))
    return BlockedDistribution(plan, query, items, bias, limits)


def catalogue_logits(
    query: Float[Array, "R d"],
    items: Float[Array, "N d"],
    bias: Float[Array, "N"],
    limits: Limits,
    matmul: Matmul = "float32",
) -> Float[Array, "R N"]:
    """Masked logits <query, item> + bias of every item."""
    return mask_logits(product(query, items.T, matmul) + bias[None, :], limits)


def head_statistics(
    plan: HeadPlan,
    query: Float[Array, "R d"],
    items: Float[Array, "N d"],
    bias: Float[Array, "N"],
    actions: Int[Array, "R"],
    limits: Limits,
    known: HeadStatistics | None = None,
) -> tuple[Float[Array, "R"], Float[Array, "R"]]:
    """Log-probability of each row's action and each row's entropy, in tiles whatever the implementation.

    The backward pass recomputes the logits tile by tile, so neither pass holds an R x N array. The tiles were
    chosen by measurement (docs/performance.md).

    Args:
        plan: tiles and type of the products.
        query: what the policy looks for, one row per decision.
        items: item embeddings.
        bias: item biases.
        actions: item ids, which must be permitted.
        limits: what may be recommended, [R] rows.
        known: the statistics, if the rollout has computed them with these same parameters; the forward pass is
            then one inner product per row.

    Returns:
        (log_prob, entropy), each [R].
    """
    factors = (query, items, bias)
    if known is None:
        log_total, entropy, _ = totals(plan, *factors, limits)
    else:
        log_total, entropy = known_totals(plan, *factors, limits, (known.log_total, known.entropy))
    return chosen_logits(*factors, actions, plan.matmul) - log_total, entropy
