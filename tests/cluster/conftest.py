"""The cluster of two nodes."""

import pytest
from ray_nodes import two_nodes

CPUS = 2  # of a node


@pytest.fixture
def nodes():
    """A fresh cluster: a test may kill one of its nodes."""
    with two_nodes(CPUS) as started:
        yield started


@pytest.fixture(scope="module")
def kept_nodes():
    """A cluster for tests that kill nothing."""
    with two_nodes(CPUS) as started:
        yield started
