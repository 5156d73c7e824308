"""A run that diverges is found at its update, by its numbers' names, keeps the state before, and disturbs no other run."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import struct

from ialp_jax.divergence import Divergence
from ialp_jax.finite import LARGEST, first_broken
from ialp_jax.serving.shares import PerUser
from ialp_jax.training.checkpoint import CheckpointStore
from ialp_jax.training.guard import SOUND, guard_of
from ialp_jax.training.loop import LoopConfig, train
from ialp_jax.training.progress import reward_note

pytestmark = pytest.mark.usefixtures("batched_keys")
UPDATES, CHUNK = 12, 4
ADAM = optax.scale_by_adam()


@struct.dataclass
class Users(PerUser):
    """What is the users' own."""

    served: jax.Array


@struct.dataclass
class Climb:
    """A state of all kinds: parameters, moments, users, a key, a counter, and a number that is infinite from the start."""

    params: dict
    optimiser: optax.OptState
    users: Users
    key: jax.Array
    count: jax.Array
    bound: jax.Array


class Climber:
    """Climbs; at update `hyper.at` one of its numbers becomes `hyper.worth`: that at the place `hyper.what`."""

    updates, steps = UPDATES, 5

    def update(self, run, hyper, data):
        key, step_key = jax.random.split(run.key)
        now = run.count == hyper["at"] - 1

        def spoilt(what, leaf):
            return jnp.where(now & (hyper["what"] == what), hyper["worth"], leaf)

        gradient = {"w": jax.random.normal(step_key, (3,)), "b": spoilt(1, jnp.float32(1.0))}
        with jax.numpy_dtype_promotion("standard"):
            steps, optimiser = ADAM.update(gradient, run.optimiser)
        params = {"w": spoilt(0, run.params["w"] + 0.1 * steps["w"]), "b": run.params["b"] + 1.0}
        state = Climb(
            params,
            optimiser,
            Users(run.users.served + spoilt(3, jnp.float32(1.0))),
            key,
            run.count + 1,
            run.bound,
        )
        return state, {"reward": run.params["b"], "loss": spoilt(2, params["b"])}


def start():
    params = {"w": jnp.zeros((RUNS, 3)), "b": jnp.zeros(RUNS)}
    return Climb(
        params,
        jax.vmap(ADAM.init)(params),
        Users(jnp.zeros((RUNS, 2))),
        jax.random.split(jax.random.key(0), RUNS),
        jnp.zeros(RUNS, jnp.int32),
        jnp.full(RUNS, jnp.inf),
    )


# (update, which number, what it becomes): parameter, gradient, metric, users' own; the first and the last run are sound.
SPOILT = [
    (0, 0, 0.0),
    (3, 0, np.nan),
    (5, 1, np.inf),
    (12, 2, -np.inf),
    (1, 0, 1e30),
    (6, 3, np.nan),
    (0, 0, 0.0),
]
RUNS = len(SPOILT)
SEEN = [None, (3, ("params.w",)), (5, ("optimiser.mu.b",)), (12, ("loss",)), (1, ("params.w",)), None, None]


def hyper(spoilt=SPOILT):
    at, what, worth = zip(*spoilt, strict=True)
    return {"at": jnp.array(at), "what": jnp.array(what), "worth": jnp.array(worth, jnp.float32)}


class Watching:
    """Notes what it is told."""

    def __init__(self):
        self.rewards = []

    def begin(self, total, done):
        pass

    def advance(self, steps, latest):
        self.rewards.append(latest["reward"])

    def warn(self, message):
        raise AssertionError(message)


def run(folder, spoilt=SPOILT, until=None, watch=None):
    loop = LoopConfig(chunk=CHUNK, checkpoint_seconds=0.0)
    return train(CLIMBER, start, hyper(spoilt), None, loop, store_of(folder), watch or Watching(), 0, until)


def store_of(folder):
    return CheckpointStore(folder, "climbers")


CLIMBER = Climber()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Of the runs as above, and of the same runs none of which is spoilt: what was trained."""
    with jax.debug_key_reuse(False):
        return run(tmp_path_factory.mktemp("spoilt")), run(
            tmp_path_factory.mktemp("sound"), [SPOILT[0]] * RUNS
        )


def rows(trained, place):
    """Of one run: all its numbers, keys as words."""
    words = trained.run.replace(key=jax.random.key_data(trained.run.key))
    return [np.asarray(leaf)[place] for leaf in jax.tree.leaves((words, trained.metrics))]


def test_divergence_is_found_at_its_update_and_by_its_name(runs):
    spoilt, sound = runs
    expected = [None if seen is None else Divergence(seen[0], UPDATES, seen[1]) for seen in SEEN]
    assert list(spoilt.diverged) == expected and not any(sound.diverged)
    assert str(spoilt.diverged[1]) == "update 3 of 12: params.w is NaN or beyond 1e+18"


def test_the_state_before_is_kept_and_the_users_go_on(runs):
    spoilt, sound = runs
    for place, seen in enumerate(SEEN):
        if seen is None:
            continue
        taken = seen[0] - 1
        assert spoilt.run.count[place] == taken == spoilt.guard.taken[place]
        assert spoilt.run.params["b"][place] == taken and spoilt.run.optimiser.count[place] == taken
        assert first_broken({"w": np.asarray(spoilt.run.params["w"][place])}) is None
        assert spoilt.run.users.served[place].tolist() == [UPDATES, UPDATES]
        chunks = taken // CHUNK
        for name, values in spoilt.metrics.items():
            np.testing.assert_array_equal(values[place, :chunks], sound.metrics[name][place, :chunks])
            assert np.isnan(values[place, chunks:]).all()


def test_other_runs_do_not_notice(runs):
    spoilt, sound = runs
    for place in (0, RUNS - 1):
        for left, right in zip(rows(spoilt, place), rows(sound, place), strict=True):
            np.testing.assert_array_equal(left, right)
    for name, values in spoilt.metrics.items():  # what the users have is no part of what was learnt
        np.testing.assert_array_equal(values[5], sound.metrics[name][5])


@pytest.mark.parametrize("until", [4, 8])
def test_a_diverged_run_stays_diverged_when_it_is_gone_on_with(runs, tmp_path, until):
    run(tmp_path, until=until)
    resumed = run(tmp_path)
    assert resumed.diverged == runs[0].diverged
    for place in range(RUNS):
        for left, right in zip(rows(runs[0], place), rows(resumed, place), strict=True):
            np.testing.assert_array_equal(left, right)


def test_a_run_state_without_a_guard_is_told_by_its_metrics(runs, tmp_path):
    half = run(tmp_path, until=8)
    store_of(tmp_path).save(8, (half.run, half.metrics))  # as earlier versions wrote it
    resumed = run(tmp_path)
    assert [one and (one.update, one.leaves) for one in resumed.diverged] == [
        None, (1, ("loss",)), (5, ("loss",)), (12, ("loss",)), (1, ("loss",)), None, None,
    ]  # fmt: skip
    for place in (0, RUNS - 1):
        for left, right in zip(rows(runs[0], place), rows(resumed, place), strict=True):
            np.testing.assert_array_equal(left, right)


def test_what_is_shown_meanwhile_is_of_the_runs_that_go_on(tmp_path):
    watch = Watching()
    run(tmp_path, watch=watch)
    assert [reward_note(rewards).split(", ")[1:] for rewards in watch.rewards] == [
        ["2 diverged"],
        ["3 diverged"],
        ["4 diverged"],
    ]
    assert reward_note(np.array([0.5, 1.0])) == "reward/turn 0.750"
    assert reward_note(np.array([np.nan])) == "1 diverged"


def test_a_guard_of_metrics_that_are_all_finite_is_sound():
    guard = guard_of({"loss": np.zeros((2, 3))}, finished=8, chunk=4)
    assert (
        guard.sound.tolist() == [True, True]
        and guard.taken.tolist() == [8, 8]
        and guard.metric.tolist() == [SOUND] * 2
    )


def test_numbers_that_leave_float32_when_multiplied_are_broken():
    arrays = {
        "whole": np.array([10**9]),
        "large": np.array([LARGEST], np.float32),
        "larger": np.array([2 * LARGEST], np.float32),
    }
    assert first_broken(arrays) == "larger"
    assert np.isfinite(np.float32(LARGEST) ** 2) and first_broken({"nan": np.array([0.0, np.nan])}) == "nan"
