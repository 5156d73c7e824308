"""Logged sessions of offline users, from one of two sources, as files of the run."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np

from ialp_jax.artifacts import atomic_path, plain, read_arrays, read_manifest, write_arrays, write_manifest
from ialp_jax.data.dataset import Dataset, offline_interactions
from ialp_jax.durable import remove_abandoned
from ialp_jax.learning.logged import LoggedSessions, turns_of
from ialp_jax.policies.logging import logging_actor
from ialp_jax.ranges import Count, PositiveShare, Weight, at_least
from ialp_jax.serving.recording import RecordedSessions, record_sessions
from ialp_jax.training.device import compiler_options
from ialp_jax.values import checked
from ialp_jax.worlds.simulator import Simulator
from ialp_jax.worlds.types import Observation
from ialp_jax.worlds.world import World

KIND = "logged sessions"
ARRAYS = "sessions.npz"


@dataclass(frozen=True)
@checked
class LoggedConfig:
    """Sessions of offline users for methods that learn from logs before they serve anybody."""

    sessions: Count = 2048
    """Recorded source: sessions that a stated logging policy serves; their turns are part of a method's cost."""
    exponent: Weight = 0.5
    """Recorded source: the logging policy prefers items by their popularity to this power; 0 is uniform."""
    floor: PositiveShare = 0.2
    """Recorded source: share of its recommendations that are uniform over what is permitted."""
    seed: Annotated[int, at_least(0)] = 0
    """Recorded source: of its users and draws."""


def recorded_sessions(
    world: World, simulator: Simulator, popularity: Any, offline: Any, config: LoggedConfig
) -> LoggedSessions:
    """Sessions of offline users in their own simulator, under a stated policy: exact propensities, true terminations.

    Args:
        world: the users' world, whose session users are replaced.
        simulator: rules of a session.
        popularity: interactions of each item in the offline users' logs, [N].
        offline: the offline users' numbers.
        config: how many, and by which policy.
    """
    theirs = world.replace(session_users=jnp.asarray(offline, jnp.int32))  # type: ignore[attr-defined]
    actor = logging_actor(jnp.asarray(popularity), config.exponent, config.floor)
    record = lambda key, world: record_sessions(key, actor, simulator, world, config.sessions)  # noqa: E731
    play = jax.jit(record, compiler_options=compiler_options())
    stored = jax.tree.map(np.asarray, play(jax.random.key(config.seed), theirs))
    padded = np.arange(stored.action.shape[1]) >= stored.length[:, None]
    action = np.where(padded, world.num_items, stored.action).astype(np.int32)
    arrays = _arrays(stored) | {"action": action, "turns": turns_of(stored.length)}
    return _sessions(arrays, exact=True, masked=simulator.config.repeats == "masked")


def history_sessions(dataset: Dataset, history_length: int, turns: int, masked: bool) -> LoggedSessions:
    """The offline users' own interactions in their order, cut into sessions of at most `turns`.

    Nobody recommended them and nobody left: propensities are not known, and no session terminates.

    Args:
        dataset: the logs.
        history_length: H, slots of a window.
        turns: L, most turns of a session.
        masked: whether nothing is recommended twice; a user's own earlier interactions beyond the window may recur.
    """
    rows = offline_interactions(dataset).sort("user", "position")
    pieces = [_pieces(group["item"].to_numpy(), group["grade"].to_numpy(), history_length, turns, dataset.num_items)
              for _, group in rows.group_by("user", maintain_order=True)]  # fmt: skip
    items, grades, action, feedback, length = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
    low, high = dataset.rating_range
    reward = ((low + feedback * (high - low)) / high).astype(np.float32)
    arrays = {
        "window_items": items, "window_feedback": grades, "action": action, "feedback": feedback, "length": length,
        "reward": np.where(action == dataset.num_items, np.float32(0), reward), "turns": turns_of(length),
        "appended": np.ones(action.shape, bool), "log_propensity": np.zeros(action.shape, np.float32),
        "terminated": np.zeros(len(length), bool),
    }  # fmt: skip
    return _sessions(arrays, exact=False, masked=masked)


def _pieces(items: Any, grades: Any, width: int, turns: int, num_items: int) -> tuple[Any, ...]:
    """One user's interactions, but the first, as actions [P, L], each with the window before it [P, L, H]."""
    count = max(len(items) - 1, 0)
    pieces = max(-(-count // turns), 0)
    padded_items = np.concatenate([np.full(width, num_items), items]).astype(np.int32)
    padded_grades = np.concatenate([np.zeros(width), grades]).astype(np.float32)
    position = 1 + np.arange(pieces * turns)
    live = position <= count
    reached = np.minimum(position, max(len(items) - 1, 0))
    slots = reached[:, None] + np.arange(width)
    shape = (pieces, turns)
    action = np.where(live, items[reached], num_items).astype(np.int32)
    feedback = np.where(live, grades[reached], 0.0).astype(np.float32)
    return (padded_items[slots].reshape(*shape, width), padded_grades[slots].reshape(*shape, width),
            action.reshape(shape), feedback.reshape(shape), live.reshape(shape).sum(axis=1).astype(np.int32))  # fmt: skip


def kept(directory: Path, config: Any, parents: dict[str, str], statement: str, make: Any) -> LoggedSessions:
    """The sessions that lie in a folder if they are these, else made and written there.

    Args:
        directory: of the files.
        config: what decides them, beside their parents.
        parents: fingerprints of what they are made from.
        statement: what a reader must know of them.
        make: makes them.

    Raises:
        InputError: if a file of the folder was altered after it was written.
    """
    remove_abandoned(directory.parent, directory.name)
    if (directory / ARRAYS).exists():
        manifest = read_manifest(directory, KIND)
        if (manifest.config, manifest.parents) == (plain(config), parents):
            stored = read_arrays(directory / ARRAYS)
            return _sessions(stored, *(bool(stored[name]) for name in _FLAGS))
    sessions = make()
    with atomic_path(directory) as temporary:
        temporary.mkdir()
        write_arrays(temporary / ARRAYS, _arrays(sessions))
        write_manifest(temporary, KIND, config, parents, [statement])
    return sessions


_FLAGS = ("exact", "masked")


def _arrays(sessions: RecordedSessions) -> dict[str, np.ndarray]:
    """All fields by name; the window's two by names of their own."""
    names = [field.name for field in dataclasses.fields(sessions) if field.name != "window"]
    window = {"window_items": sessions.window.items, "window_feedback": sessions.window.feedback}
    named = window | {name: getattr(sessions, name) for name in names}
    return {name: np.asarray(value) for name, value in named.items()}


def _sessions(arrays: dict[str, np.ndarray], exact: bool, masked: bool) -> LoggedSessions:
    named = {name: jnp.asarray(value) for name, value in arrays.items() if name not in _FLAGS}
    window = Observation(named.pop("window_items"), named.pop("window_feedback"))
    return LoggedSessions(window=window, **named, exact=exact, masked=masked)
