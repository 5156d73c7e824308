"""An option that decides a program decides what comes out of it: every static option of every method, in tiny trials."""

import numpy as np
import pytest

from ialp_jax.artifacts import InputError
from ialp_jax.marks import Yardstick
from ialp_jax.methods import names
from ialp_jax.study.fields import held, kind_of, marks_of
from ialp_jax.study.measure import fresh_sessions
from ialp_jax.study.stages import check_chunks, static_key
from ialp_jax.testing.options import conditions, other_values, own_options
from ialp_jax.testing.trial import Trial, leaves_of

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("batched_keys"), pytest.mark.in_turn]


def whole(trial):
    """The trial with so few updates that it trains them all: what changes late in a run is then tried too."""
    counts = [name for name in own_options(trial) if name.endswith(".updates")]
    return trial.having({name: 4 * trial.config.online.updates for name in counts})


def programs(trial):
    """What tells the programs of a method's stages apart."""
    return [static_key(stage, trial.config) for stage in trial.stages]


def small_values(trial, name):
    """Other values: all of a choice, and of whole numbers small ones, of which a few updates in a small world can feel one."""
    now = held(trial.config, name)
    if kind_of(trial.config, name) is int:
        small = [least for least in (4, 2, 1, 0) if least != now and allowed(trial, name, least)]
        if small:  # a memory holds a rollout of 4, a session of 4 turns has no longer horizon
            return small
    values = other_values(trial.config, name)
    return values if kind_of(trial.config, name) not in (int, float) else values[:1]


def allowed(trial, name, value):
    """Whether a study may have this value."""
    try:
        check_chunks(trial.having({name: value}).config)
    except InputError:
        return False
    return True


def product(trial):
    """What the method's last stage leaves."""
    program, run = trial.bare(trial.stages[-1])
    return leaves_of(program.learner.product(run))


def served(trial):
    """Whom its policy recommends what afterwards, sampled and greedy; nothing where there are no users to serve."""
    program, run = trial.bare(trial.stages[-1])
    if program.data.world is None:
        return {}
    played = (fresh_sessions(program, run, trial.config, greedy) for greedy in (False, True))
    return {place: np.asarray(sessions.items) for place, sessions in enumerate(played)}


def differ(trials):
    """Whether two trials have other results; what only binds in large steps is tried in large steps too.

    Most differ in what they leave: then nobody is served, which would take a program more.
    """
    pairs = trials, list(map(bolder, trials))
    return any(unequal(*map(result, pair)) for pair in pairs for result in (product, served))


def bolder(trial):
    """The same with a hundred times the step size, where the method has one."""
    rates = [name for name in own_options(trial) if name.endswith(".learning_rate")]
    return trial.having({name: 100.0 * held(trial.config, name) for name in rates})


def unequal(left, right):
    return left.keys() != right.keys() or any(not np.array_equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("method", names())
def test_other_values_are_other_programs_with_other_results(method):
    trial = whole(Trial.small(method))
    for name in own_options(trial):
        if any(isinstance(mark, Yardstick) for mark in marks_of(trial.config, name)):
            continue  # it changes how fast or how precisely, as its mark says
        now = trial.having(dict(conditions(trial.config, name)))
        others = [now.having({name: value}) for value in small_values(now, name)]
        static = [other for other in others if programs(other) != programs(now)]
        if not static:
            continue  # a number, which is data of one program: the kit's
        assert len({tuple(programs(one)) for one in (now, *static)}) == 1 + len(static), (
            f"{name}: values share programs"
        )
        unlike = (differ([now, other]) for other in static)
        enough = any if kind_of(trial.config, name) is int else all
        assert enough(unlike), (
            f"{name}: one of {[held(other.config, name) for other in static]} leaves and serves what {held(now.config, name)} does"
        )
