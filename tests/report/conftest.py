"""Fixtures of room report."""

import pytest
from fake_report_run import write_fake_run


@pytest.fixture
def fake_run(tmp_path):
    """A complete made-up run."""
    write_fake_run(tmp_path)
    return tmp_path
