"""SLINVIT: its search finds the best path by the written-out score, plans for what is alike, and ends anywhere."""

from functools import partial
from itertools import permutations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from item_choices import items_dataset

from ialp_jax.methods.named.slinvit import (
    ANSWER_WEIGHT,
    Knowledge,
    SearchConfig,
    SearchHyper,
    highest,
    searched,
)
from ialp_jax.policies.memory import Memory
from ialp_jax.recommenders.calibration import with_one
from ialp_jax.recommenders.factors import FactorsConfig
from ialp_jax.recommenders.fold_in import fit_fold_in
from ialp_jax.recommenders.online_factors import session_tastes
from ialp_jax.serving.likeness import Likeness
from ialp_jax.testing.trial import Trial, row
from ialp_jax.worlds.types import Observation

pytestmark = pytest.mark.usefixtures("batched_keys")

ITEMS = 15
FIT = fit_fold_in(items_dataset(), FactorsConfig(rank=3, regularisation=0.4, unobserved_weight=0.1))
GENERATOR = np.random.default_rng(3)
TABLE = jnp.asarray(GENERATOR.uniform(size=ITEMS), jnp.float32)
WEIGHTS = jnp.asarray(GENERATOR.normal(size=(ITEMS, 4)) * [1, 1, 1, 0.2], jnp.float32)


def session(items=(), feedback=()):
    """One user, whose history is short, and three slots."""
    known = Observation(jnp.array([ITEMS, 2, 7], jnp.int32), jnp.array([0.0, 0.5, 1.0]))
    padding = 3 - len(items)
    return Memory(known, jnp.array([ITEMS] * padding + [*items], jnp.int32),
                  jnp.array([0.0] * padding + [*feedback], jnp.float32))  # fmt: skip


@jax.jit
def expected(memory):
    """The feedback that is expected of every item after a session."""
    one = jax.tree.map(lambda leaf: leaf[None], memory)
    return WEIGHTS @ with_one(session_tastes(FIT, WEIGHTS, one, ANSWER_WEIGHT)[0])


def chances(permitted, hyper, count):
    """The table's probabilities of its best permitted items."""
    proposed = sorted(permitted, key=lambda item: -TABLE[item])[:count]
    weights = np.exp(np.asarray(TABLE)[proposed] / hyper.prior_temperature)
    return dict(zip(proposed, weights / weights.sum(), strict=True))


def best_path(memory, permitted, hyper, config):
    """(score, items) of the best of all paths, written out."""
    scores, feedback = {}, np.asarray(expected(memory))
    prior = chances(permitted, hyper, config.proposals)
    for first, chance in prior.items():
        items, answers = [*np.asarray(memory.items), first], [*np.asarray(memory.feedback), feedback[first]]
        after = Memory(memory.known, jnp.array(items[1:], jnp.int32), jnp.array(answers[1:], jnp.float32))
        score, later = hyper.prior_weight * chance + feedback[first], np.asarray(expected(after))
        following = chances([item for item in permitted if item != first], hyper, config.proposals)
        if config.depth == 1 or not following:
            scores[first,] = score
            continue
        for second, again in following.items():
            scores[first, second] = score + hyper.discount * (hyper.prior_weight * again + later[second])
    return max((score, path) for path, score in scores.items())


@partial(jax.jit, static_argnums=0)
def of_search(config, key, memory, mask, table, weights, likeness, hyper):
    """One program for all tables."""
    return searched(key, memory, mask, Knowledge(table, weights, FIT, likeness), config, hyper)


def search(memory, permitted, config, hyper, likeness=None, table=TABLE, weights=WEIGHTS):
    """The item that is recommended."""
    mask = jnp.zeros(ITEMS, bool).at[jnp.asarray(permitted)].set(True)
    return int(of_search(config, jax.random.key(0), memory, mask, table, weights, likeness, hyper))


WIDE, ONE = SearchConfig(depth=2, proposals=6, kept=6), SearchConfig(depth=1, proposals=6, kept=6)


@pytest.mark.parametrize("config", [ONE, WIDE])
def test_the_best_path_of_all_is_found(config):
    """Where every proposal is gone on with, of sessions with and without answers and for several weights of the table."""
    everything, firsts = list(range(ITEMS)), set()
    for memory in (session(), session([4, 11], [1.0, 0.0])):
        for weight, discount in ((0.0, 0.9), (1.0, 0.5), (30.0, 1.0)):
            hyper = SearchHyper(prior_weight=weight, discount=discount)
            found = search(memory, everything, config, hyper)
            score, path = best_path(memory, everything, hyper, config)
            assert found == path[0], (score, path)
            firsts.add(found)
    assert len(firsts) > 1


def test_few_kept_paths_are_those_of_the_highest_score():
    """With one, the first item is that of depth one whatever would follow."""
    hyper = SearchHyper()
    everything = list(range(ITEMS))
    narrow = search(session(), everything, SearchConfig(depth=2, proposals=6, kept=1), hyper)
    assert narrow == search(session(), everything, ONE, hyper)


def test_it_plans_for_what_is_alike():
    """Item 0 is best but too like 1 and 2, the next best: of two recommendations 1 and 2 are worth more."""
    weights = jnp.zeros((ITEMS, 4)).at[:3, 3].set(jnp.array([1.0, 0.9, 0.9]))
    near = np.eye(ITEMS, dtype=bool)
    near[0, :3] = near[:3, 0] = True
    likeness = Likeness(jnp.asarray(np.packbits(near, axis=1, bitorder="little")), 4)
    arguments = dict(hyper=SearchHyper(prior_weight=0.0), weights=weights, table=jnp.arange(ITEMS, 0.0, -1.0))
    everything = list(range(ITEMS))
    assert search(session(), everything, WIDE, **arguments) == 0
    assert search(session(), everything, WIDE, likeness=likeness, **arguments) in (1, 2)
    assert search(session(), everything, ONE, likeness=likeness, **arguments) == 0


def test_prior_and_value_are_added_not_joined():
    """Joined as lists, scores are compared by the prior alone; added, a much better value outweighs it."""
    table = jnp.zeros(ITEMS).at[0].set(0.2)
    weights = jnp.zeros((ITEMS, 4)).at[1, 3].set(1.0)
    given = dict(table=table, weights=weights)
    assert search(session(), [0, 1], ONE, SearchHyper(prior_weight=0.1), **given) == 1
    joined = max(([chance], [value]) for chance, value in ((0.88, 0.0), (0.12, 1.0)))
    assert joined == ([0.88], [0.0])
    assert search(session(), [0, 1], ONE, SearchHyper(prior_weight=10.0), **given) == 0


@pytest.mark.parametrize("permitted", [[9], [9, 4]])
def test_a_path_may_end_where_nothing_is_left(permitted):
    hyper = SearchHyper(prior_weight=0.0, discount=0.5)
    assert search(session(), permitted, WIDE, hyper) == best_path(session(), permitted, hyper, WIDE)[1][0]


def test_the_highest_places_are_drawn_among_equals():
    scores, among = jnp.array([1.0, 3.0, 1.0, 1.0, 5.0]), jnp.array([True, True, True, True, False])
    keys = jax.random.split(jax.random.key(0), 200)
    places, found = jax.vmap(lambda key: highest(key, scores, among, 5))(keys)
    assert np.asarray(found).tolist() == [[True] * 4 + [False]] * 200
    assert (places[:, 0] == 1).all() and set(map(tuple, np.asarray(places[:, 1:4]).tolist())) == set(
        permutations((0, 2, 3))
    )


def test_it_serves_the_tables_proposals():
    """Of the best eight of every user's permitted items by the table, more than the first one."""
    trial = Trial.small("slinvit")
    program = trial.program(trial.stages[-1], [0])
    world, learner = program.data.users_world, program.learner
    users = world.session_users
    _, step = jax.vmap(learner.scene.simulator.start, (0, None))(users, world)
    actor = learner.actor(row(program.start(), 0), program.hyper, program.data.hidden())
    keys = actor.keys(jax.random.key(0), users.size)
    items, _ = jax.jit(actor.act)(keys, actor.begin(step.observation), step)
    permitted = np.asarray(jax.vmap(lambda one: one.action_mask(world.num_items))(step))
    scores = np.where(permitted, np.asarray(program.data.prior)[users], -np.inf)
    ranks = (scores > scores[np.arange(users.size), np.asarray(items)][:, None]).sum(axis=1)
    assert ranks.max() < 8 and len(set(ranks.tolist())) > 1
