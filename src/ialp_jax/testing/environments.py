"""The conformance kit of environments: what `ialp check` asks of one, as tests, with few users."""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

from ialp_jax import environments
from ialp_jax.data.dataset import Dataset
from ialp_jax.environments import Environment
from ialp_jax.environments.check import check_environment
from ialp_jax.environments.check_arrays import CheckResult
from ialp_jax.study.config import preset
from ialp_jax.study.stages import check_chunks
from ialp_jax.testing.references import located


class EnvironmentTests:
    """Subclass it in a test file, name the environment, and run pytest:
    `class TestShop(EnvironmentTests): environment = "shop.py"`.

    Attributes:
        environment: its name, or the path of its file, from the test's folder or the current one.
        data: folder of logs, if it is to be checked on logs; None invents users.
        users: most users that are invented.
        items: most items that are invented.
    """

    environment: ClassVar[str] = ""
    data: ClassVar[Path | None] = None
    users: ClassVar[int] = 120
    items: ClassVar[int] = 100

    def test_its_world_can_be_trained_on(self) -> None:
        """Every line of `ialp check` passes."""
        failed = [f"{line.name}: {line.detail}" for line in self._checked()[1] if not line.passed]
        assert not failed, "; ".join(failed)

    def test_equal_settings_give_equal_logs(self) -> None:
        """Runs are told apart by their logs' fingerprint: reading them twice must give one."""
        first, second = self._checked()[0].fingerprint, self._dataset().fingerprint
        assert first == second, f"read twice, the logs are {first} and {second}"

    def test_presets_fit_it(self) -> None:
        """Studies of both sizes can be made of it; settings out of range are named."""
        for size in ("quick", "full"):
            check_chunks(preset(self._environment()[1], size))  # type: ignore[arg-type]

    def _environment(self) -> tuple[str, Environment]:
        """Its name, and the environment with few users."""
        name, whole = environments.get(located(self.environment, type(self)))
        synthetic = replace(
            whole.synthetic,
            num_users=min(whole.synthetic.num_users, self.users),
            num_items=min(whole.synthetic.num_items, self.items),
            mean_interactions=min(whole.synthetic.mean_interactions, self.items / 2),
        )
        return name, replace(whole, synthetic=synthetic)

    def _dataset(self) -> Dataset:
        name, environment = self._environment()
        return environment.dataset(self.data, environment.data, name)

    @classmethod
    @lru_cache(maxsize=1)
    def _checked(cls) -> tuple[Dataset, list[CheckResult]]:
        """The logs, and the lines of `ialp check` on the world that is fitted to them."""
        tests = cls()
        dataset = tests._dataset()
        return dataset, check_environment(tests._environment()[1], dataset)
