"""The two worlds of every setting, made once per process."""

from pathlib import Path

from rich.console import Console

from ialp_jax.data.dataset import Dataset
from ialp_jax.study.config import StudyConfig
from ialp_jax.study.prepare import Prepared, prepare
from ialp_jax.study.table import FinishedTable, finished_table
from ialp_jax.sweeps.definition import Sweep
from ialp_jax.sweeps.units import world_key

FOLDER = "worlds"


class Worlds:
    """Makes worlds where a setting first needs them, and keeps them; their files lie in a folder each."""

    def __init__(self, sweep: Sweep, out: Path, console: Console) -> None:
        self._sweep, self._out, self._console = sweep, out, console
        self._made: dict[str, Prepared] = {}
        self._datasets: dict[str, Dataset] = {}

    def of(self, config: StudyConfig) -> Prepared:
        """Both worlds of a setting.

        Raises:
            InputError: if the logs or the table cannot be used.
        """
        key = world_key(config)
        if key not in self._made:
            dataset = self.dataset(config)
            self._made[key] = prepare(
                dataset, config, self._out / FOLDER / key, self._console, self._table(dataset, config)
            )
        return self._made[key]

    def dataset(self, config: StudyConfig) -> Dataset:
        """The logs of a setting."""
        key = repr(config.data)
        if key not in self._datasets:
            name, environment = self._sweep.environment
            self._datasets[key] = environment.dataset(self._sweep.data, config.data, name)
        return self._datasets[key]

    def _table(self, dataset: Dataset, config: StudyConfig) -> FinishedTable | None:
        if self._sweep.prefs is None:
            return None
        return finished_table(self._sweep.prefs, dataset, config.preferences, self._console)
