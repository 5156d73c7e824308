"""What the offline users' logs say of items: nothing of the online users is read."""

import dataclasses
import io
from dataclasses import replace

import numpy as np
import pytest
from made_logs import ITEMS, USERS, dataset
from rich.console import Console

from ialp_jax.recommenders.factors import FactorsConfig, offline_factors
from ialp_jax.study.factors import likeness_points, said_factors

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


def test_a_penalty_that_leaves_no_taste_is_said():
    for penalty, said in (
        (300.0, "factors.regularisation 300 leaves the few offline users no taste"),
        (0.1, ""),
    ):
        console = Console(file=io.StringIO(), width=1000)
        said_factors(dataset(), replace(CONFIG, regularisation=penalty, iterations=15), console)
        assert console.file.getvalue().startswith(said) and bool(console.file.getvalue()) == bool(said)
