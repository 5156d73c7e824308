"""What users are shown: nothing that must not be recommended, and the same items however these are numbered."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from ialp_jax.methods.base import Stage
from ialp_jax.policies.fixed import RandomPolicy
from ialp_jax.serving.likeness import Likeness
from ialp_jax.serving.play import PlayedSessions
from ialp_jax.serving.sessions import Actor
from ialp_jax.study.measure import fresh_sessions
from ialp_jax.study.stages import Program
from ialp_jax.testing.trial import Trial, row
from ialp_jax.worlds.simulator import Simulator, sample_noise
from ialp_jax.worlds.types import Situation, TimeStep, limits, unpacked
from ialp_jax.worlds.world import World

USERS, DRAWS = 16, 8


def forbidden(trial: Trial, stage: Stage, until: int) -> list[str]:
    """Which of a stage's recommendations after so many updates were of excluded items, in words."""
    program = trial.program(stage, [0])
    run = program.start() if until == 0 else trial.alone(stage, until=until).run
    world, problems = program.data.users_world, []
    for greedy in (False, True):
        played = fresh_sessions(program, run, trial.config, greedy)
        number = _forbidden_in(jax.tree.map(lambda leaf: leaf[0], played), world)
        if number:
            how = "greedily" if greedy else "sampled"
            problems.append(
                f"{stage.name}, {how}, after {until} updates: {number} excluded items were recommended"
            )
    return problems


def _forbidden_in(played: PlayedSessions, world: World) -> int:
    """Recommendations of known items, of items twice in one session, or outside of what is allowed."""
    known, allowed = np.asarray(world.initial_items), np.asarray(world.allowed_items)
    count = 0
    for user, items in zip(played.users, played.items, strict=True):
        shown = items[items < world.num_items]
        count += np.isin(shown, known[user]).sum() + len(shown) - len(set(shown.tolist()))
        count += (~np.isin(shown, allowed[user])).sum() if allowed.shape[1] else 0
    return int(count)


def renumbered_choices(trial: Trial, stage: Stage) -> tuple[int, list[str]]:
    """Whether a stage's greedy items do not depend on how items are numbered.

    Items get other numbers, in the situations and in everything that has an entry per item in the run's state and in
    the data that actors may read. What is then recommended must be the same items by their new numbers. Situations in
    which the choice is a draw (another key, another item) are passed over.

    Returns:
        How many choices were compared, and what is wrong, in words.
    """
    program = trial.program(stage, [0])
    new = np.random.default_rng(0).permutation(program.learner.scene.num_items)
    turns, known = (
        _two_turns(program.learner.scene.simulator, program.data.users_world),
        program.data.hidden(),
    )
    choose = _greedy_choice(program)
    compared, problems = 0, []
    for when, states in (("at the start", program.start()), ("at the end", trial.alone(stage).run)):
        run = row(states, 0)
        before = choose(run, known, turns)
        after = choose(renumbered(run, new), renumbered(known, new), _renumbered_turns(turns, new))
        settled = (before == before[0]).all(axis=0)
        wrong = settled & (after != new[before[0]]).any(axis=0)
        compared += int(settled.sum())
        if wrong.any():
            problems.append(
                f"{stage.name}: {wrong.sum()} of {settled.sum()} greedy items {when} of a run depend on how items are "
                "numbered (if equal items go by their numbers, draw among them, as `policies.fixed.choose` does)"
            )
    return compared, problems


def renumbered(tree: Any, new: Int[np.ndarray, "N"]) -> Any:
    """Item i is called new[i]: every axis with an entry per item, or one more for no item, is put into that order.

    Of what is kept apart, an item's row has a bit per item.
    """
    order = np.argsort(new)

    def near(kept: Likeness) -> Likeness:
        bits = np.asarray(unpacked(kept.near))[np.ix_(order, order)]
        return kept.replace(near=jnp.asarray(np.packbits(bits, axis=1, bitorder="little")))  # type: ignore[attr-defined, no-any-return]

    def leaf(array: Array) -> Array:
        for axis, size in enumerate(array.shape):
            if size in (new.size, new.size + 1):
                places = np.concatenate([order, np.arange(new.size, size)])
                array = jnp.take(array, jnp.asarray(places), axis=axis)
        return array

    return jax.tree.map(
        lambda part: near(part) if isinstance(part, Likeness) else leaf(part), tree,
        is_leaf=lambda part: isinstance(part, Likeness),
    )  # fmt: skip


Turns = tuple[Situation, Array, TimeStep]
"""A situation, what was recommended there, and the situation that followed."""


def _two_turns(simulator: Simulator, world: World) -> Turns:
    """Some users' first two situations, and an item between them."""
    users = jnp.resize(world.session_users, (USERS,))
    keys, noise_key = jax.random.split(jax.random.key(0), USERS + 1)[:-1], jax.random.key(1)
    states, first = jax.vmap(simulator.start, (0, None))(users, world)
    items = jax.vmap(RandomPolicy(world.num_items).act)(keys, first)
    noise = sample_noise(noise_key, (USERS,))
    _, second = jax.vmap(simulator.transition, (0, 0, 0, None))(states, items, noise, world)
    return _plain(first), items, second


def _renumbered_turns(turns: Turns, new: Int[np.ndarray, "N"]) -> Turns:
    names = jnp.asarray(np.append(new, new.size), jnp.int32)

    def renamed(situation: Any) -> Any:
        seen = situation.observation
        known = situation.limits
        return situation.replace(observation=seen.replace(items=names[seen.items]),
                                 limits=limits(names[known.excluded], names[known.allowed]))  # fmt: skip

    return renamed(turns[0]), names[turns[1]], renamed(turns[2])


def _greedy_choice(program: Program) -> Callable[[Any, Any, Turns], Int[np.ndarray, "D 2*S"]]:
    """(run, data, turns) -> what is recommended in both situations, with each of several keys."""

    def both(key: Array, run: Any, data: Any, turns: Turns) -> Array:
        first, between, second = turns
        actor = program.learner.actor(run, program.hyper, data, True)
        assert isinstance(actor, Actor)
        keys = [actor.keys(one, USERS) for one in jax.random.split(key)]
        recall = actor.begin(first.observation)
        items, _ = actor.act(keys[0], recall, first)
        recall = actor.advance(recall, between, second.feedback, second.appended)
        following, _ = actor.act(keys[1], recall, _plain(second))
        return jnp.concatenate([items, following])

    draws = jax.random.split(jax.random.key(2), DRAWS)
    compiled = jax.jit(jax.vmap(both, (0, None, None, None)))
    return lambda run, data, turns: np.asarray(compiled(draws, run, data, turns))


def _plain(step: TimeStep) -> Situation:
    """The situation alone, without what led to it."""
    return Situation(step.user, step.observation, step.limits)
