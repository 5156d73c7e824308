"""Rows of written-down probabilities, and how likely it is that items were drawn by them."""

import jax.numpy as jnp
import numpy as np
from scipy.stats import chisquare

from ialp_jax.policies.catalogue import MASKED, CatalogueDistribution

ROWS = 60_000
PRE = np.array([0.5, 0.3, 0.2, 0.0])
ON = np.array([0.1, 0.0, 0.3, 0.6])


def rows_of(probabilities, rows=ROWS):
    logits = np.where(probabilities > 0, np.log(np.maximum(probabilities, 1e-30)), MASKED)
    return CatalogueDistribution(
        jnp.broadcast_to(jnp.asarray(logits, jnp.float32), (rows, len(probabilities)))
    )


def p_value(items, probabilities):
    keep = probabilities > 0
    counts = np.bincount(items, minlength=len(probabilities))
    assert counts[~keep].sum() == 0
    return chisquare(counts[keep], probabilities[keep] * len(items)).pvalue
