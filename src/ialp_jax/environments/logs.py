"""Which logs a file was made from, so that a later step reads the same ones without being told again."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from ialp_jax.artifacts import InputError
from ialp_jax.data.build import DataConfig
from ialp_jax.data.dataset import Dataset
from ialp_jax.environments.registry import get
from ialp_jax.values import checked, made_from, require_fields


@dataclass(frozen=True)
@checked
class Logs:
    """An environment's name (or file), its folder of logs (None: invented), and how they become a dataset."""

    env: str
    data: Path | None
    config: DataConfig

    def dataset(self) -> Dataset:
        """Reads the logs."""
        name, environment = get(self.env)
        return environment.dataset(self.data, self.config, name)

    def record(self) -> dict[str, Any]:
        """As plain values, with absolute paths."""
        env = str(Path(self.env).resolve()) if self.env.endswith(".py") else self.env
        data = None if self.data is None else str(self.data.resolve())
        return {"env": env, "data": data, "config": asdict(self.config)}

    @classmethod
    def of(cls, record: Mapping[str, Any], file: Path, data: Path | None = None) -> Self:
        """What `record` gave; `data` replaces the folder, for logs that lie elsewhere now.

        Raises:
            InputError: naming `file`, if it holds no such record.
        """
        if not record:
            raise InputError("it does not say from which logs it was made", file=file,
                             fix="plan the job with `ialp prefs plan`")  # fmt: skip
        require_fields(record, {"env": str, "data": str | None, "config": dict}, file)
        folder = data if data is not None or record["data"] is None else Path(record["data"])
        return cls(record["env"], folder, made_from(DataConfig, record["config"], file))
