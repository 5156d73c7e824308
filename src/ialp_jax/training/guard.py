"""The guard of a run: an update that leaves no numbers is undone, and the run stays where it was before.

It watches what every learner has, whoever wrote it: its metrics, and of its state all that is not the users' own
(`PerUser`). Of runs side by side one may diverge; the others' numbers are bitwise what they are without the guard.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from jaxtyping import Array, Bool, Int

from ialp_jax.divergence import Divergence
from ialp_jax.finite import LARGEST
from ialp_jax.health import is_watched
from ialp_jax.serving.shares import PerUser

Metrics = dict[str, Array]
SOUND = -1
"""In a `Guard`, where nothing is broken."""


@struct.dataclass
class Guard:
    """Whether a run diverged, and by which of its numbers: places of the first broken ones, in the order of `watched`.

    Attributes:
        taken: updates until it diverged; all that there were if it has not.
        metric: of its metrics, the loss among them.
        gradient: of its optimisers' moments, which are means of its gradients.
        state: of everything else: parameters above all.
    """

    taken: Int[Array, "*R"]
    metric: Int[Array, "*R"]
    gradient: Int[Array, "*R"]
    state: Int[Array, "*R"]

    @property
    def sound(self) -> Bool[Array, "*R"]:
        """Whether it has not diverged."""
        return (self.metric < 0) & (self.gradient < 0) & (self.state < 0)


@struct.dataclass
class Guarded:
    """A run and its guard; every leaf [R, ...] of several runs."""

    run: Any
    guard: Guard


def guarded(run: Any) -> Guarded:
    """Run states [R, ...] before their first update."""
    return Guarded(run, sound_guard(jax.tree.leaves(run)[0].shape[:1]))


def sound_guard(runs: tuple[int, ...] = ()) -> Guard:
    """Of so many runs that have taken no update; () is one without an axis."""
    return Guard(jnp.zeros(runs, jnp.int32), *(jnp.full(runs, SOUND, jnp.int32) for _ in range(3)))


def guarded_update(
    update: Callable[[Any, Any, Any], tuple[Any, Metrics]], now: Guarded, hyper: Any, data: Any
) -> tuple[Guarded, Metrics]:
    """One update of one run, undone if it leaves NaN, infinity or a number beyond `LARGEST` where there was none.

    What is the users' own goes on, and so do random keys: their numbers are no part of what was learnt, and copying them
    in every update would cost more than all the rest.
    """
    after, metrics = update(now.run, hyper, data)
    guard = now.guard
    before, latest = watched(now.run), watched(after)
    found = {
        "metric": _first([~jnp.isfinite(metrics[name]) for name in _deciding(metrics)]),
        **{
            kind: _first([_breaks(latest[kind][name], leaf) for name, leaf in before[kind].items()])
            for kind in before
        },
    }
    sound = guard.sound & _none(jnp.stack([place >= 0 for place in found.values()]))
    kept = {kind: jnp.where(guard.sound, place, getattr(guard, kind)) for kind, place in found.items()}
    run = jax.tree.map(
        lambda new, old: _kept(sound, new, old),
        after,
        now.run,
        is_leaf=lambda part: isinstance(part, PerUser),
    )
    return Guarded(run, Guard(guard.taken + sound.astype(jnp.int32), **kept)), metrics


def watched(run: Any) -> dict[str, dict[str, Array]]:
    """The floats of a run state that are not the users' own, by name: "gradient" and "state" (see `Guard`)."""
    found: dict[str, dict[str, Array]] = {"gradient": {}, "state": {}}
    whole = lambda part: isinstance(part, (PerUser, optax.ScaleByAdamState))  # noqa: E731
    for path, part in jax.tree.leaves_with_path(run, is_leaf=whole):
        if isinstance(part, PerUser):
            continue
        kind = "gradient" if isinstance(part, optax.ScaleByAdamState) else "state"
        for inner, leaf in jax.tree.leaves_with_path(part):
            if jnp.issubdtype(leaf.dtype, jnp.floating):
                found[kind][jax.tree_util.keystr((*path, *inner), simple=True, separator=".")] = leaf
    return found


def divergences(
    guard: Guard, run: Any, metrics: Mapping[str, Any], updates: int
) -> tuple[Divergence | None, ...]:
    """What is said of each of R runs; None of those that have not diverged.

    Args:
        guard: of the runs, on the host.
        run: their states, for the names.
        metrics: their metrics, for the names.
        updates: of a whole run.
    """
    names = {"metric": _deciding(metrics), **{kind: list(leaves) for kind, leaves in watched(run).items()}}

    def one(place: int) -> Divergence | None:
        if guard.sound[place]:
            return None
        places = {kind: int(getattr(guard, kind)[place]) for kind in names}
        leaves = tuple(names[kind][index] for kind, index in places.items() if index >= 0)
        return Divergence(int(guard.taken[place]) + 1, updates, leaves)

    return tuple(one(place) for place in range(len(guard.taken)))


def guard_of(metrics: Mapping[str, Any], finished: int, chunk: int) -> Guard:
    """The guard of runs whose states were written before there were guards, from their metrics [R, chunks].

    A metric that is no number in some chunk says that the run diverged there, at its first update for all that is known.
    """
    names = _deciding(metrics)
    broken = np.stack([~np.isfinite(np.asarray(metrics[name])[:, : finished // chunk]) for name in names])
    diverged = broken.any(axis=(0, 2))
    first = np.argmax(broken.any(axis=0), axis=1)
    metric = np.argmax(broken[:, np.arange(len(first)), first], axis=0)
    taken, metric = np.where(diverged, first * chunk, finished), np.where(diverged, metric, SOUND)
    # An array of its own for each: the training loop gives them all up to its program.
    others = [jnp.full(len(first), SOUND, jnp.int32) for _ in range(2)]
    return Guard(jnp.array(taken, jnp.int32), jnp.array(metric, jnp.int32), *others)


def _deciding(metrics: Mapping[str, Any]) -> list[str]:
    """The metrics by which a run may diverge, in their order: not those that are watched alone."""
    return [name for name in sorted(metrics) if not is_watched(name)]


def _breaks(after: Array, before: Array) -> Bool[Array, ""]:
    """Whether any number that could be computed with no longer can: some are infinite from the start, and mean that."""
    if after is before:
        return jnp.bool_(False)
    return jnp.any(~(jnp.abs(after) <= LARGEST) & (jnp.abs(before) <= LARGEST))


def _first(broken: list[Bool[Array, ""]]) -> Int[Array, ""]:
    """Place of the first that is true, `SOUND` if none is."""
    if not broken:
        return jnp.int32(SOUND)
    flags = jnp.stack(broken)
    return jnp.where(flags.any(), jnp.argmax(flags).astype(jnp.int32), SOUND)


def _none(flags: Bool[Array, "n"]) -> Bool[Array, ""]:
    """Whether no flag is true, as a product, which XLA computes once: of a chain of ors it makes a copy for every leaf that
    the answer decides on (twice the operations, a sixth of the time to compile; docs/performance.md)."""
    ones = flags.astype(jnp.float32)
    return ones @ ones == 0.0


def _kept(sound: Bool[Array, ""], new: Any, old: Any) -> Any:
    if new is old or isinstance(new, PerUser) or jnp.issubdtype(new.dtype, jax.dtypes.prng_key):
        return new
    return jnp.where(sound, new, old)
