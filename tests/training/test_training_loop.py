"""The host loop: interruption and resumption change no bit, seeds are independent, numbers are data."""

import io
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from random_worlds import random_world
from rich.console import Console
from tiny_runs import in_world, tiny_learner, tiny_network

from ialp_jax.artifacts import InputError
from ialp_jax.learning.hyper import ActorCriticHyper
from ialp_jax.training import device, loop
from ialp_jax.training.checkpoint import CheckpointStore
from ialp_jax.training.device import crowded
from ialp_jax.training.guard import guarded
from ialp_jax.training.loop import LoopConfig, compile_chunk, seed_keys, train
from ialp_jax.training.progress import step_bar

pytestmark = pytest.mark.usefixtures("batched_keys")
UPDATES, CHUNK, SEEDS = 8, 2, 2
EVERY_CHUNK = LoopConfig(chunk=CHUNK, checkpoint_seconds=0.0)
DATA = in_world(random_world(users=6, items=14, history=4))


@struct.dataclass
class Place:
    """A walker: where it is, its key, and an array without elements."""

    position: jax.Array
    key: jax.Array
    nothing: jax.Array


class Walk:
    """The least learner: a random walk whose steps are `hyper` wide; counts how often it is traced."""

    def __init__(self):
        self.updates, self.steps, self.traced = UPDATES, 15, []

    def update(self, run, hyper, data):
        self.traced.append(1)
        key, step_key = jax.random.split(run.key)
        position = run.position + hyper * jax.random.normal(step_key, (3,))
        return run.replace(position=position, key=key), {
            "reward": jnp.sum(position),
            "worst": jnp.min(position),
        }


def start(keys=None):
    """Where the walkers of all seeds begin."""
    keys = seed_keys(np.arange(SEEDS), 1) if keys is None else keys
    return Place(jnp.ones((len(keys), 3)), keys, jnp.zeros((len(keys), 0)))


def run(folder, walk=None, hyper=0.5, hyper_axis=None, until=None, said=None):
    with step_bar("name", Console(file=said or io.StringIO(), width=1000)) as watch:
        return train(
            walk or Walk(),
            start,
            hyper,
            DATA,
            EVERY_CHUNK,
            CheckpointStore(folder, "walk"),
            watch,
            hyper_axis,
            until,
        )


def leaves(trained):
    """All numbers of a run as NumPy arrays, keys as their words."""
    words = jax.tree.map(
        lambda leaf: (
            jax.random.key_data(leaf) if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf
        ),
        (trained.run, trained.metrics),
    )
    return [np.asarray(leaf) for leaf in jax.tree.leaves(words)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run."""
    with jax.debug_key_reuse(False):
        return run(tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("chunks_done", [2, 3])
def test_interruption_and_resumption_change_no_bit(whole, tmp_path, monkeypatch, chunks_done):
    """Interrupted while a checkpoint is written: the one before it counts."""
    save = CheckpointStore.save

    def interrupted(store, number, tree):
        if number > chunks_done * CHUNK:
            (store._directory / f".{number:010d}.saving").mkdir()
            raise KeyboardInterrupt
        save(store, number, tree)

    monkeypatch.setattr(CheckpointStore, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    monkeypatch.undo()
    assert CheckpointStore(tmp_path, "walk").latest(pytest.fail) == chunks_done * CHUNK
    resumed = run(tmp_path)
    for left, right in zip(leaves(whole), leaves(resumed), strict=True):
        np.testing.assert_array_equal(left, right)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{UPDATES - CHUNK:010d}", f"{UPDATES:010d}"]


@pytest.mark.parametrize("damaged", [UPDATES, UPDATES - CHUNK])
def test_a_damaged_run_state_costs_the_updates_since_the_one_before_and_no_bit(whole, tmp_path, damaged):
    """The newest is named and the older one taken; that the older one is damaged is of no effect."""
    run(tmp_path)
    largest = max((tmp_path / f"{damaged:010d}").rglob("d/*"), key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)
    said = io.StringIO()
    resumed = run(tmp_path, said=said)
    assert (f"{largest}: the file is missing or was altered" in said.getvalue()) == (damaged == UPDATES)
    for left, right in zip(leaves(whole), leaves(resumed), strict=True):
        np.testing.assert_array_equal(left, right)
    assert CheckpointStore(tmp_path, "walk").latest(pytest.fail) == UPDATES


def test_a_finished_run_is_read_back_without_running(whole, tmp_path):
    run(tmp_path)
    before = (tmp_path / f"{UPDATES:010d}").stat().st_mtime_ns
    again = run(tmp_path)
    for left, right in zip(leaves(whole), leaves(again), strict=True):
        np.testing.assert_array_equal(left, right)
    assert (tmp_path / f"{UPDATES:010d}").stat().st_mtime_ns == before


def test_metrics_are_means_of_chunks(whole):
    """Against the same walk, one step at a time."""
    walk, one = Walk(), jax.tree.map(lambda leaf: leaf[1], start())
    rewards = []
    for _ in range(UPDATES):
        one, metrics = walk.update(one, 0.5, DATA)
        rewards.append(float(metrics["reward"]))
    np.testing.assert_allclose(
        whole.metrics["reward"][1], np.reshape(rewards, (-1, CHUNK)).mean(axis=1), rtol=1e-5
    )
    np.testing.assert_allclose(whole.run.position[1], one.position, rtol=1e-5)


def test_hyper_parameters_are_data(tmp_path):
    """Other values compile nothing; a sweep axis gives every run its own."""
    walk, widths = Walk(), jnp.array([0.5, 0.25, 0.0])
    moved = [
        np.asarray(run(tmp_path / f"width{i}", walk, width).run.position) - 1.0
        for i, width in enumerate(widths)
    ]
    assert len(walk.traced) == 1
    np.testing.assert_allclose(moved[0], 2 * moved[1], rtol=1e-4)
    assert np.abs(moved[0]).min() > 0 == np.abs(moved[2]).max()
    swept = run(tmp_path, hyper=jnp.array([0.5, 0.0]), hyper_axis=0)
    np.testing.assert_array_equal(swept.run.position[1], np.ones(3))
    assert np.abs(swept.run.position[0] - 1.0).min() > 0


def test_a_learner_alone_is_the_same_learner_among_others():
    """A2C for one chunk: seed 1 beside seed 0, and seed 1 without vmap."""
    network = tiny_network()
    learner, hyper = tiny_learner(network), ActorCriticHyper()

    def begin(key):
        param_key, key = jax.random.split(key)
        return learner.init(key, hyper, DATA, (network.init(param_key, 4),))

    keys = seed_keys(np.arange(SEEDS), 1)
    hyper, runs = jax.tree.map(jnp.asarray, ActorCriticHyper()), jax.jit(jax.vmap(begin))(keys)
    runs = guarded(runs)
    together = compile_chunk(learner, CHUNK, None, runs, hyper, DATA)(runs, hyper, DATA)[0].run
    alone = jax.jit(begin)(keys[1])
    update = jax.jit(learner.update)
    for _ in range(CHUNK):
        alone, _ = update(alone, hyper, DATA)
    numbers = lambda run: (run.params, run.optimiser, run.serving.ledger, run.serving.sessions)  # noqa: E731
    for left, right in zip(*(jax.tree.leaves(numbers(state)) for state in (together, alone)), strict=True):
        np.testing.assert_allclose(left[1], right, rtol=1e-4, atol=1e-5)
    assert np.abs(together.params["items"][0] - together.params["items"][1]).max() > 1e-3


def test_a_run_stopped_early_goes_on_to_the_same_end(whole, tmp_path):
    half = run(tmp_path, until=UPDATES // 2)
    assert np.abs(half.metrics["reward"][:, : UPDATES // CHUNK // 2]).min() > 0
    assert np.abs(half.metrics["reward"][:, UPDATES // CHUNK // 2 :]).max() == 0
    for left, right in zip(leaves(whole), leaves(run(tmp_path)), strict=True):
        np.testing.assert_array_equal(left, right)


def test_equal_learners_share_a_program():
    shapes = jax.eval_shape(lambda: guarded(start())), jax.ShapeDtypeStruct((), jnp.float32), DATA
    walk = Walk()
    first, again = (compile_chunk(walk, CHUNK, None, *shapes) for _ in range(2))
    assert first is again and len(walk.traced) == 1
    wider = jax.eval_shape(lambda: guarded(start(jnp.concatenate([seed_keys(np.arange(SEEDS), 1)] * 2))))
    assert compile_chunk(walk, CHUNK, None, wider, *shapes[1:]) is not first


def test_programs_are_let_go_of_where_there_is_no_room_for_another(monkeypatch):
    shapes = jax.eval_shape(lambda: guarded(start())), jax.ShapeDtypeStruct((), jnp.float32), DATA
    monkeypatch.setattr(loop, "crowded", lambda: True)
    walk, before = Walk(), loop.programs_compiled()
    first = compile_chunk(walk, CHUNK, None, *shapes)
    assert compile_chunk(walk, CHUNK, None, *shapes) is first
    compile_chunk(Walk(), CHUNK, None, *shapes)
    assert compile_chunk(walk, CHUNK, None, *shapes) is not first
    assert loop.programs_compiled() - before == 3


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="this system does not tell")
def test_a_process_is_crowded_by_its_share_of_the_mappings_it_may_have(monkeypatch):
    held = Path("/proc/self/maps").read_text().count("\n")
    limit = int(Path("/proc/sys/vm/max_map_count").read_text())
    for share, expected in ((0.9, True), (1.2, False)):
        monkeypatch.setattr(device, "CROWDED", share * held / limit)
        assert crowded() == expected


@pytest.mark.parametrize(
    ("flags", "backend", "expected"),
    [
        ("", "cpu", {"xla_backend_optimization_level": 2}),
        ("--xla_cpu_max_isa=AVX2", "cpu", {"xla_backend_optimization_level": 2}),
        ("--xla_backend_optimization_level=3", "cpu", {"xla_backend_optimization_level": 3}),
        ("", "gpu", None),
        ("", "tpu", None),
    ],
)
def test_the_compiler_need_not_try_its_hardest_on_a_cpu_unless_told(monkeypatch, flags, backend, expected):
    monkeypatch.setenv("XLA_FLAGS", flags)
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    assert device.compiler_options() == expected


def test_the_compiler_is_told(monkeypatch):
    shapes = jax.eval_shape(lambda: guarded(start())), jax.ShapeDtypeStruct((), jnp.float32), DATA
    quick = compile_chunk(Walk(), CHUNK, None, *shapes)
    monkeypatch.delenv("XLA_FLAGS")
    thorough = compile_chunk(Walk(), CHUNK, None, *shapes)
    ends = [
        program(guarded(start()), jnp.float32(1.0), DATA)[0].run.position for program in (quick, thorough)
    ]
    np.testing.assert_allclose(*ends, rtol=1e-5)
    monkeypatch.setattr(device, "COMPILER_LEVEL", "xla_no_such_option")
    with pytest.raises(
        jax.errors.JaxRuntimeError, match="xla_no_such_option"
    ):  # so what is told arrives there
        compile_chunk(Walk(), CHUNK, None, *shapes)


@pytest.mark.parametrize(("updates", "until"), [(5, None), (8, 3)])
def test_updates_that_do_not_fill_chunks_are_refused(tmp_path, updates, until):
    odd = SimpleNamespace(updates=updates)
    with pytest.raises(ValueError, match="updates are not a multiple of the chunk of 2"):
        train(odd, lambda: None, None, DATA, EVERY_CHUNK, CheckpointStore(tmp_path, "odd"), None, until=until)


def test_purposes_and_seeds_have_keys_of_their_own():
    words = np.concatenate([jax.random.key_data(seed_keys(np.arange(4), purpose)) for purpose in (1, 2, 3)])
    assert len(np.unique(words, axis=0)) == 12
    np.testing.assert_array_equal(jax.random.key_data(seed_keys(np.arange(2), 1)), words[:2])


def test_metrics_of_older_run_states_are_gathered_before_they_are_looked_at(monkeypatch):
    """They may be spread over processes, none of which could read them whole."""

    class Older:
        def restore(self, number, like):
            if len(like) > 2:
                raise InputError("it has no guard", fix="none")
            return "run", {"loss": "spread metrics"}

    gathered = {"spread metrics": np.array([[0.0, 1.0], [0.0, np.nan]])}
    monkeypatch.setattr(
        loop, "gathered", lambda metrics: {name: gathered[values] for name, values in metrics.items()}
    )
    now, metrics = loop._restored(Older(), 4, 2, guarded(jnp.zeros(2)), {"loss": None})
    assert (now.run, metrics) == ("run", {"loss": "spread metrics"}) and now.guard.sound.tolist() == [
        True,
        False,
    ]
