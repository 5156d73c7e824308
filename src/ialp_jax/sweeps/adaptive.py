"""Adaptive search: Optuna asks and is told; its journal in the sweep's folder is the only memory. Host only.

Settings come in batches: trials 0 to b-1, b to 2b-1, and so on, and none of a batch is asked for before every trial of
the batches before is told. Each trial has a sampler of its own, seeded by (seed, number), that sees the journal and
nothing else. So the trials do not depend on when a sweep was killed, and each is written as one line of the journal
when it is asked for and one when it is told.

One process at a time may search in a folder.
"""

import fcntl
import json
import math
import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalChoiceType,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState, create_trial

from ialp_jax.artifacts import InputError, Value, fingerprint
from ialp_jax.sweeps.search import Setting
from ialp_jax.sweeps.space import Axis, Space

JOURNAL_NAME = "optuna.journal"
STARTUP = 10  # random trials before the sampler learns from them, Optuna's own default
LEAST_PER_AXIS, LEAST = 4, 8  # settings that an importance rests on
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)

optuna.logging.set_verbosity(optuna.logging.ERROR)


class AdaptiveSearch:
    """The trials of an adaptive search, kept in `folder`; another object on the same folder goes on from there."""

    def __init__(self, space: Space, folder: Path) -> None:
        """Opens the journal, or begins one.

        Args:
            space: as `check_space` returned it; its search is adaptive.
            folder: of the sweep.

        Raises:
            InputError: if the journal is of another space, or damaged before its last line.
        """
        self._space = space
        self._distributions = {axis.name: _distribution(axis) for axis in space.axes}
        folder.mkdir(parents=True, exist_ok=True)
        self._journal = folder / JOURNAL_NAME
        self._study = _open_study(self._journal, f"sweep {fingerprint(space)}")

    def batch(self) -> list[tuple[int, Setting]]:
        """All trials of the current batch, as (number, setting) in order of the number.

        The same until every one of them is told, so that after a kill the same program runs, or its results are
        found, and telling again does no harm; then the next batch; empty when done. Two trials may have equal settings
        where all axes are lists or whole numbers.
        """
        search, told = self._space.search, self.finished
        begin = told - told % search.batch if told < len(self._trials) else len(self._trials)
        end = min(begin + search.batch, search.settings or 0)
        self._ask(range(len(self._trials), end))
        return [(trial.number, self._setting(trial)) for trial in self._trials[begin:end]]

    def tell(self, number: int, value: float) -> None:
        """Notes the objective of a trial; NaN (a run that diverged) counts as one of the worst.

        Raises:
            ValueError: if the trial was not asked for.
            InputError: if it was told another value before; the same again changes nothing.
        """
        trials = self._trials
        if not 0 <= number < len(trials):
            raise ValueError(f"trial {number} was never asked for")
        told = trials[number]
        if told.state in FINISHED:
            known = math.nan if told.value is None else told.value
            if known != value and not (math.isnan(known) and math.isnan(value)):
                raise InputError(f"trial {number} had the value {known!r} and now has {value!r}", file=self._journal,
                                 fix="go on where its results were computed, or start anew in an empty folder",
                                 )  # fmt: skip
        elif math.isnan(value):
            self._study.tell(number, state=TrialState.PRUNED)
        else:
            self._study.tell(number, float(value))

    @property
    def finished(self) -> int:
        """How many trials are told."""
        return sum(trial.state in FINISHED for trial in self._trials)

    @property
    def done(self) -> bool:
        """Whether all trials are told."""
        return self.finished >= (self._space.search.settings or 0)

    @property
    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _ask(self, numbers: range) -> None:
        """Draws trials from a copy of the journal in memory, and adds each to the journal as one line."""
        if not numbers:
            return
        copy = optuna.create_study(direction="maximize")
        copy.add_trials(self._trials)
        for number in numbers:
            copy.sampler = _sampler(self._space.search.seed, number)
            params = copy.ask(self._distributions).params
            self._study.add_trial(
                create_trial(state=TrialState.RUNNING, params=params, distributions=self._distributions)
            )

    def _setting(self, trial: FrozenTrial) -> Setting:
        return {axis.name: _decoded(axis, trial.params[axis.name]) for axis in self._space.axes}


def importance(
    space: Space, settings: Sequence[Setting], values: Sequence[float]
) -> tuple[dict[str, float], str]:
    """Share of the objective's variance that each axis explains by itself and with others (fANOVA, Hutter et al. 2014).

    Args:
        space: as `check_space` returned it; of any kind of search.
        settings: what was run.
        values: the objective of each; NaN is left out.

    Returns:
        (shares by the axes' names, the largest first and 1 in sum, ""), or ({}, why it cannot be said).
    """
    known = [
        (setting, value) for setting, value in zip(settings, values, strict=True) if math.isfinite(value)
    ]
    least = max(LEAST, LEAST_PER_AXIS * len(space.axes))
    if len(known) < least:
        return (
            {},
            f"the importance of {len(space.axes)} axes needs {least} settings or more; there are {len(known)}",
        )
    if len({value for _, value in known}) == 1:
        return {}, f"all {len(known)} settings reached the same {space.objective}"
    logs = [axis.name for axis in space.axes if axis.log]
    axes = [_even(axis) for axis in space.axes]
    distributions = {axis.name: _distribution(axis) for axis in axes}
    study = optuna.create_study(direction="maximize")
    for setting, value in known:
        even = {**setting, **{name: math.log(setting[name]) for name in logs}}  # type: ignore[arg-type]
        params = {axis.name: _encoded(axis, even[axis.name]) for axis in axes}
        study.add_trial(create_trial(value=float(value), distributions=distributions, params=params))
    shares = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=space.search.seed))
    return {name: float(share) for name, share in shares.items()}, ""


def _even(axis: Axis) -> Axis:
    """A range by ratios as one by differences of logarithms: fANOVA's averages take every axis as evenly drawn."""
    if not axis.log:
        return axis
    low, high = axis.bounds()
    return Axis(axis.name, low=math.log(low), high=math.log(high))


def _distribution(axis: Axis) -> BaseDistribution:
    if axis.values:
        return CategoricalDistribution([_encoded(axis, value) for value in axis.values])
    low, high = axis.bounds()
    if axis.integer:
        return IntDistribution(int(low), int(high), log=axis.log)
    return FloatDistribution(low, high, log=axis.log)


def _encoded(axis: Axis, value: Value) -> CategoricalChoiceType:
    """Listed values as JSON: a choice of Optuna can be no tuple, and 1 and true are the same to it."""
    return json.dumps(value) if axis.values else value  # type: ignore[return-value]


def _decoded(axis: Axis, stored: CategoricalChoiceType) -> Value:
    if not axis.values:
        return stored
    return next(value for value in axis.values if _encoded(axis, value) == stored)


def _sampler(seed: int, number: int) -> optuna.samplers.BaseSampler:
    """Tree-structured Parzen estimator over all axes at once; running trials repel the others of their batch."""
    own = int(np.random.SeedSequence((seed, number)).generate_state(1)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(
            n_startup_trials=STARTUP, multivariate=True, constant_liar=True, seed=own
        )


def _open_study(journal: Path, name: str) -> optuna.Study:
    lock = _KernelLock(journal)
    _drop_half_line(journal, lock)
    try:
        storage = JournalStorage(JournalFileBackend(str(journal), lock_obj=lock))
    except (ValueError, KeyError) as error:  # json's errors are ValueErrors
        raise InputError(f"the journal is damaged ({error})", file=journal,
                         fix="delete it: the trials that were run are then drawn again") from error  # fmt: skip
    found = [study.study_name for study in storage.get_all_studies()]
    if found not in ([], [name]):
        raise InputError("the journal is of another sweep", file=journal,
                         fix="give the file of that sweep, or an empty folder")  # fmt: skip
    return optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)


def _drop_half_line(journal: Path, lock: JournalFileOpenLock) -> None:
    """Cuts off what a killed process left of a line: Optuna skips it when it reads, but would write on behind it."""
    lock.acquire()
    try:
        if journal.exists():
            stored = journal.read_bytes()
            os.truncate(journal, stored.rfind(b"\n") + 1)
    finally:
        lock.release()


class _KernelLock(JournalFileOpenLock):
    """A lock that the kernel frees with its process; Optuna's own outlive a kill and are waited for 30 seconds."""

    def __init__(self, journal: Path) -> None:
        super().__init__(str(journal))
        self._path = journal.with_name(f"{journal.name}.lock")
        self._held: int | None = None

    def acquire(self) -> bool:
        """Waits until nobody else holds it."""
        self._held = os.open(self._path, os.O_CREAT | os.O_WRONLY, 0o644)
        fcntl.flock(self._held, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        """Gives it back; closing the file does."""
        assert self._held is not None
        os.close(self._held)
        self._held = None
