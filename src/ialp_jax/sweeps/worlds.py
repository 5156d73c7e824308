"""What the runs of a sweep read, made once per process where settings agree in it."""

from dataclasses import replace
from pathlib import Path

from rich.console import Console

from ialp_jax.data.dataset import Dataset
from ialp_jax.study.config import StudyConfig
from ialp_jax.study.decision import Decision
from ialp_jax.study.inputs import Inputs
from ialp_jax.study.table import FinishedTable, finished_table
from ialp_jax.sweeps.definition import Sweep
from ialp_jax.sweeps.units import inputs_key

FOLDER = "worlds"


class Worlds:
    """The inputs of every setting, kept; their files lie in a folder each."""

    def __init__(self, sweep: Sweep, out: Path, console: Console) -> None:
        self._sweep, self._out, self._console = sweep, out, console
        self._inputs: dict[str, Inputs] = {}
        self._datasets: dict[str, Dataset] = {}

    def of(self, config: StudyConfig) -> Inputs:
        """The inputs of a setting, each made when it is first asked for.

        Raises:
            InputError: if the logs or the table cannot be used.
        """
        key = inputs_key(self._sweep.stages(config), config)
        if key not in self._inputs:
            dataset = self.dataset(config)
            folder = self._out / FOLDER / key
            inputs = Inputs(dataset, config, folder, self._console, self._table(dataset, config))
            if self._sweep.decision.questions:  # until it is known the settings stay as they were asked for
                inputs.decided(self._sweep.decision)
            self._inputs[key] = inputs
        return self._inputs[key]

    def decided(self, decision: Decision) -> None:
        """Has all settings hold what was decided; what was made for it is theirs."""
        self._sweep, made = replace(self._sweep, decision=decision), list(self._inputs.values())
        self._inputs = {}
        for inputs in made:
            inputs.decided(decision)
            self._inputs[inputs_key(self._sweep.stages(inputs.config), inputs.config)] = inputs

    def settle_in(self, out: Path) -> None:
        """Has their files lie in another folder, those there are by now too."""
        self._out = out
        for key, inputs in self._inputs.items():
            inputs.settle_in(out / FOLDER / key)

    def dataset(self, config: StudyConfig) -> Dataset:
        """The logs of a setting."""
        key = repr(config.data)
        if key not in self._datasets:
            name, environment = self._sweep.environment
            self._datasets[key] = environment.dataset(self._sweep.data, config.data, name)
        return self._datasets[key]

    def _table(self, dataset: Dataset, config: StudyConfig) -> FinishedTable | None:
        if self._sweep.prefs is None or not self._sweep.rests_on_table:
            return None
        return finished_table(self._sweep.prefs, dataset, config.preferences, self._console)
