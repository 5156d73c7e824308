"""Every method of the registry keeps to the kit that users test their own with."""

import pytest

from ialp_jax.methods import names
from ialp_jax.testing import MethodTests

pytestmark = [pytest.mark.usefixtures("batched_keys"), pytest.mark.in_turn]

for name in names():
    title = f"Test_{name}"
    globals()[title] = type(title, (MethodTests,), {"method": name, "__module__": __name__})
