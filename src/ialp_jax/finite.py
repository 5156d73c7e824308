"""Which arrays are numbers that can be computed with: what a learner, a sampler and a policy's file agree on. Host only."""

from collections.abc import Mapping

import numpy as np

LARGEST = 1e18
"""No parameter, gradient or moment of a learner is larger: products of larger ones leave float32, whose largest is 3.4e38."""


def first_broken(arrays: Mapping[str, np.ndarray]) -> str | None:
    """Name of the first array of floats that holds NaN, infinity, or a number beyond `LARGEST`; None if none does."""
    floats = ((name, array) for name, array in arrays.items() if np.issubdtype(array.dtype, np.floating))
    return next((name for name, array in floats if not (np.abs(array) <= LARGEST).all()), None)
