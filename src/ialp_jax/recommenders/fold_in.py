"""Users whom a factorisation has never seen: their factors from their history by one exact ridge regression.

The step of alternating least squares that solves one user with the items' factors held (Hu, Koren and Volinsky 2008,
eq. 4); the regression's sum over the catalogue is the same for everybody and is computed once.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float

from ialp_jax.data.dataset import Dataset
from ialp_jax.recommenders.factors import FactorsConfig, offline_factors
from ialp_jax.recommenders.regression import solve
from ialp_jax.worlds.fit.factorisation import pair_equations, shared_equations
from ialp_jax.worlds.types import Observation


@struct.dataclass
class OfflineFactors:
    """Items' factors, and what a history adds to a user's normal equations; of k factors and a bias, k+1 in all.

    Attributes:
        item: factors of the items.
        offset: what everybody is taken to feel about an item.
        centre: mean of the offline users' factors and biases.
        gram: normal matrix of a user without a history.
        pull: right side that belongs to it.
        unobserved: weight of a pair that nobody logged.
        base_weight: weight of an interaction with feedback 0.
        grade_weight: how much feedback 1 adds to that.
        base_target: what the factorisation aims at for feedback 0.
        target_span: how much feedback 1 adds to that.
    """

    item: Float[Array, "N k"]
    offset: Float[Array, "N"]
    centre: Float[Array, "k+1"]
    gram: Float[Array, "k+1 k+1"]
    pull: Float[Array, "k+1"]
    unobserved: Float[Array, ""]
    base_weight: Float[Array, ""]
    grade_weight: Float[Array, ""]
    base_target: Float[Array, ""]
    target_span: Float[Array, ""]

    @property
    def features(self) -> Float[Array, "N k+1"]:
        """What a user's factors and bias are multiplied by."""
        return jnp.concatenate([self.item, jnp.ones((self.item.shape[0], 1))], axis=1)

    @property
    def popular(self) -> Float[Array, "N"]:
        """The affinity of the mean offline user."""
        return self.offset + self.features @ self.centre


def fit_fold_in(dataset: Dataset, config: FactorsConfig) -> OfflineFactors:
    """Factorises the offline users' interactions, and prepares the fold-in of other users."""
    factors = offline_factors(dataset, config)
    explicit = dataset.feedback == "explicit"
    low, high = dataset.rating_range
    unobserved = jnp.float32(0.0 if explicit else config.unobserved_weight)
    features = jnp.concatenate([factors.item, jnp.ones((factors.item.shape[0], 1))], axis=1)
    offset = factors.mean + factors.item_bias
    gram, pull = shared_equations(features, offset, jnp.float32(config.regularisation), unobserved)
    users = np.column_stack([factors.user, factors.user_bias])
    return OfflineFactors(
        item=factors.item, offset=offset, centre=jnp.asarray(users.mean(axis=0)), gram=gram, pull=pull,
        unobserved=unobserved, base_weight=jnp.float32(1.0),
        grade_weight=jnp.float32(0.0 if explicit else config.grade_weight),
        base_target=jnp.float32(low if explicit else 1.0),
        target_span=jnp.float32(high - low if explicit else 0.0),
    )  # fmt: skip


def history_equations(
    factors: OfflineFactors, history: Observation
) -> tuple[Float[Array, "k+1 k+1"], Float[Array, "k+1"]]:
    """Normal equations of one user with a history [H]; padded slots add nothing."""
    present = history.items < factors.item.shape[0]
    weights = factors.base_weight + factors.grade_weight * history.feedback
    targets = factors.base_target + factors.target_span * history.feedback
    products, forces = pair_equations(
        rows_or_zero(factors.features, history.items), rows_or_zero(factors.offset, history.items),
        jnp.where(present, targets, 0.0), jnp.where(present, weights, factors.unobserved), factors.unobserved,
    )  # fmt: skip
    return factors.gram + jnp.sum(products, axis=0), factors.pull + jnp.sum(forces, axis=0)


def fold_in(factors: OfflineFactors, history: Observation) -> Float[Array, "k+1"]:
    """Factors and bias of one user, from a history [H]."""
    return solve(*history_equations(factors, history))


def tastes(factors: OfflineFactors, histories: Observation) -> Float[Array, "B k"]:
    """How users with histories [B, H] differ from the mean offline user; without the bias, which ranks nothing."""
    users = jax.vmap(fold_in, (None, 0))(factors, histories)
    return (users - factors.centre[None])[:, :-1]


def rows_or_zero(values: Any, items: Array) -> Any:
    """The items' entries; 0 for padding."""
    return values.at[items].get(mode="fill", fill_value=0.0)
