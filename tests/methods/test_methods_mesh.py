"""Devices that share the logged turns of a gradient step; that they leave what one device leaves, the kit asks of every method."""

import pytest

from ialp_jax.artifacts import InputError
from ialp_jax.testing.trial import Trial

pytestmark = pytest.mark.usefixtures("batched_keys")


def test_a_batch_that_devices_cannot_share_is_refused():
    trial = Trial.small("bc").having({"methods.bc.batch": 31})
    with pytest.raises(InputError, match="31 logged turns cannot be divided among 2 devices"):
        trial.shared(trial.stages[0], devices=2)
