"""What the offline users' logs say of items: nothing of the online users is read."""

import dataclasses

import numpy as np
import pytest
from made_logs import ITEMS, USERS, dataset

from ialp_jax.recommenders.factors import FactorsConfig, offline_factors
from ialp_jax.study.factors import likeness_points

CONFIG = FactorsConfig(rank=3, iterations=4)


@pytest.mark.parametrize("feedback", ["implicit", "explicit"])
def test_only_offline_users_are_read(feedback):
    plain, online, offline = (
        offline_factors(dataset(feedback, shuffled), CONFIG) for shuffled in (None, "online", "offline")
    )
    for field in dataclasses.fields(plain):
        np.testing.assert_array_equal(getattr(plain, field.name), getattr(online, field.name))
    np.testing.assert_array_equal(likeness_points(plain), likeness_points(online))
    assert not np.allclose(likeness_points(plain), likeness_points(offline))
    assert len(plain.user) == USERS // 3 and len(likeness_points(plain)) == ITEMS
