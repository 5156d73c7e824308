"""Checkpoints: what was stored comes back, and only what is complete counts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ialp_jax.artifacts import InputError
from ialp_jax.training import checkpoint
from ialp_jax.training.checkpoint import CheckpointStore


def state(offset=0.0):
    """Leaves of every kind a run state has."""
    return {
        "floats": jnp.arange(6.0).reshape(2, 3) + offset,
        "count": jnp.int32(7),
        "flags": jnp.array([True, False]),
        "key": jax.random.split(jax.random.key(3), 2),
        "empty": (jnp.zeros((2, 0), jnp.int32), ()),
        "tiny": jnp.float32(np.nextafter(np.float32(1), np.float32(2))),
    }


def same(left, right):
    assert jax.tree.structure(left) == jax.tree.structure(right)
    for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape
        if jax.dtypes.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        np.testing.assert_array_equal(a, b)


def test_every_kind_of_leaf_comes_back_to_the_bit(tmp_path):
    store = CheckpointStore(tmp_path / "run")
    store.save(4, state())
    same(store.restore(4, jax.tree.map(lambda leaf: leaf, state(offset=5.0))), state())


def test_only_the_newest_complete_checkpoint_is_kept(tmp_path):
    store = CheckpointStore(tmp_path)
    assert store.latest() is None
    store.save(2, state())
    (tmp_path / "0000000010.orbax-checkpoint-tmp-17").mkdir()
    (tmp_path / "0000000010.orbax-checkpoint-tmp-17" / "half").write_text("written")
    assert store.latest() == 2
    store.save(4, state(1.0))
    assert [path.name for path in tmp_path.iterdir()] == ["0000000004"]
    same(store.restore(4, state()), state(1.0))
    store.clear()
    assert store.latest() is None and not tmp_path.exists()


def test_a_folder_that_is_not_there_holds_nothing(tmp_path):
    assert CheckpointStore(tmp_path / "nowhere").latest() is None


def test_the_same_number_can_be_saved_again(tmp_path):
    store = CheckpointStore(tmp_path)
    store.save(2, state())
    store.save(2, state(1.0))
    same(store.restore(2, state()), state(1.0))


@pytest.mark.parametrize(
    "other", [{"a": jnp.zeros(4)}, {"a": jnp.zeros(3), "b": jnp.zeros(1)}], ids=["shape", "leaves"]
)
def test_another_run_state_is_refused(tmp_path, other):
    store = CheckpointStore(tmp_path)
    store.save(2, {"a": jnp.zeros(3)})
    with pytest.raises(InputError, match="not of this version's run state"):
        store.restore(2, other)


def test_arrays_that_meant_something_else_are_refused(tmp_path, monkeypatch):
    """Same shapes, written by a version whose arrays had another meaning."""
    with monkeypatch.context() as before:
        before.setattr(checkpoint, "MEANING", checkpoint.MEANING - 1)
        CheckpointStore(tmp_path).save(2, {"a": jnp.zeros(3)})
    with pytest.raises(InputError, match="not of this version's run state"):
        CheckpointStore(tmp_path).restore(2, {"a": jnp.zeros(3)})
