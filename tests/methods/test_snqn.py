"""SNQN: its losses at logged items and at negatives, the tabular optimum, its two copies, and what both heads learn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tabular_network
from small_optima import ITEMS, OPTIMUM, PAYS, logged_in, scene, world_of
from tabular import BEHAVIOUR
from tabular_network import LIVING, backed_up, experience, largest, m4_rows, table_params
from tiny_runs import tiny_params

from ialp_jax.methods import get
from ialp_jax.methods.base import Data
from ialp_jax.methods.learners.action_values import exploring_actor
from ialp_jax.methods.learners.two_heads import (
    TwoHeadConfig,
    TwoHeadHyper,
    TwoHeadLearner,
    TwoHeads,
    head_of,
    other_items,
    read,
    two_head_loss,
    value_losses,
)
from ialp_jax.serving.play import play

pytestmark = pytest.mark.usefixtures("batched_keys")
NETWORK = tabular_network.NETWORK
HYPER = TwoHeadHyper(discount=0.9, liked=0.0)
QUICK = TwoHeadHyper(learning_rate=1e-2, discount=0.5, liked=0.5)
CONFIG = TwoHeadConfig(updates=600, batch=64, negatives=3)


def copy_of(table, scores=None, values=(0.0,) * 4):
    """A copy whose Q is a table [4, 3] and whose policy head scores items by another one."""
    scores = np.zeros((4, 3)) if scores is None else scores
    head = table_params(np.asarray(table) - np.asarray(values)[:, None])
    return TwoHeads(table_params(scores, values), head_of(head))


def losses(rows, negatives, mine, theirs):
    """`value_losses` at gamma = .9, as numbers; absent ones are 0."""
    negatives = jnp.asarray(negatives, jnp.int32)
    seen = read(NETWORK, mine, rows, negatives)
    told = value_losses(seen, mine, theirs, NETWORK, rows, negatives, 0.9)
    return float(told["action_value_loss"]), float(told.get("negative_loss", 0.0))


MINE = copy_of([[1, 2, 3], [0, 5, 1], [0] * 3, [0] * 3], values=[7, -2, 0, 0])
THEIRS = copy_of([[4, 6, 8], [2, 3, 9], [0] * 3, [0] * 3], values=[1, 1, 0, 0])


@pytest.mark.parametrize(
    ("after", "excluded", "goal", "stay"),
    [
        (1, 3, 0.5 + 0.9 * 3.0, 0.9 * 8.0),
        (3, 3, 0.5, 0.9 * 8.0),
        (1, 1, 0.5 + 0.9 * 9.0, 0.9 * 8.0),
        (1, 2, 0.5 + 0.9 * 3.0, 0.9 * 6.0),
    ],
)
def test_negatives_look_at_the_state_they_are_shown_in(after, excluded, goal, stay):
    """s = 0, a = 0, r = .5. The copy that learns says which item is best, the other one what it is worth.

    What may not be recommended is not best anywhere, nor is the item itself once it was; where the user left, nothing follows
    it, while a negative changes nothing.
    """
    rows = experience([0], [0], [0.5], [after], excluded=[[excluded]])
    others = [other for other in (1, 2) if other != excluded]
    at_logged, at_negatives = losses(rows, [[other] for other in others], MINE, THEIRS)
    assert at_logged == pytest.approx(0.5 * (goal - 1.0) ** 2, rel=1e-5)
    expected = sum(0.5 * (stay - (1.0 + other)) ** 2 for other in others)
    assert at_negatives == pytest.approx(expected, rel=1e-5)


def test_without_negatives_there_is_one_loss_less():
    """Neither where none were asked for, nor where a row has no other item."""
    rows = experience([0], [0], [0.5], [3])
    assert losses(rows, np.zeros((0, 1)), MINE, THEIRS) == losses(rows, [[0], [0]], MINE, THEIRS)
    assert losses(rows, [[0], [0]], MINE, THEIRS)[1] == 0.0


def optimum(negatives):
    """Where M4's mean loss is least, by iteration in NumPy; every row has the other two items as negatives, or none."""
    table = np.zeros((4, 3))
    for _ in range(2000):
        best = table.max(axis=1)
        goal = backed_up(best)
        if negatives:
            goal = BEHAVIOUR * goal + (1.0 - BEHAVIOUR) * 0.9 * best[:, None]
        goal[LIVING] = 0.0
        table = goal
    return table


@pytest.mark.parametrize("negatives", [True, False])
def test_the_gradient_is_zero_at_the_tabular_optimum(negatives):
    """M4: Q as above, the policy head imitates the behaviour."""
    table, rows = optimum(negatives), m4_rows()
    if not negatives:
        np.testing.assert_allclose(table.max(axis=1), tabular_network.OPTIMUM, atol=5e-7)
    others = (rows.action[None] + jnp.array([[1], [2]])) % 3 if negatives else jnp.zeros((0, 300), jnp.int32)

    @jax.jit
    def slope(mine, theirs):
        return jax.grad(lambda at: two_head_loss(at, theirs, NETWORK, rows, others, HYPER)[0])(mine)

    values = table.max(axis=1)
    best = copy_of(table, np.log(BEHAVIOUR), values)
    assert largest(slope(best, best)) < 1e-5
    assert largest(slope(copy_of(table + np.eye(4, 3), np.log(BEHAVIOUR), values), best).head) > 1e-2
    assert largest(slope(copy_of(table, BEHAVIOUR, values), best).network["query_head"]) > 1e-2


def test_the_heads_share_the_encoder_and_nothing_else():
    network = scene(1).network
    one, fresh = tiny_params(network, 2), tiny_params(network, 2, seed=1)
    params = TwoHeads(one, head_of(fresh))
    rows = logged_in(world_of("by the history"), sessions=6).rows(jnp.arange(12), ITEMS)
    negatives = other_items(jax.random.key(0), rows, 2, ITEMS)

    @jax.jit
    def slope(hyper):
        return jax.grad(lambda at: two_head_loss(at, params, network, rows, negatives, hyper)[0])(params)

    imitating, valuing = slope(TwoHeadHyper(value_weight=0.0, liked=0.0)), slope(TwoHeadHyper(liked=2.0))
    assert (
        largest(imitating.head) == 0.0 == largest(valuing.network["query_head"])
    )  # nothing is liked that much
    for name in ("encoder", "items"):
        assert largest(imitating.network[name]) > 1e-6 < largest(valuing.network[name]), name


def test_negatives_are_uniform_over_what_might_have_been_recommended():
    rows = logged_in(world_of("by the history"), sessions=30).rows(jnp.arange(100), ITEMS)
    drawn = np.asarray(other_items(jax.random.key(0), rows, 400, ITEMS))
    assert drawn.shape == (400, 100)
    for row in range(100):
        barred = {*np.asarray(rows.limits.excluded[row]).tolist(), int(rows.action[row])}
        free = [item for item in range(ITEMS) if item not in barred]
        shares = np.bincount(drawn[:, row], minlength=ITEMS) / 400
        np.testing.assert_allclose(shares[free], 1 / len(free), atol=6 * np.sqrt(0.25 / 400))
        assert shares[free].sum() == pytest.approx(1.0)


def test_where_nothing_else_might_be_recommended_the_negative_is_the_item_itself():
    rows = experience([0, 0], [1, 1], [0.0, 0.0], [3, 3], excluded=[[0, 2], [0, 0]])
    drawn = np.asarray(other_items(jax.random.key(0), rows, 20, 3))
    assert np.all(drawn[:, 0] == 1) and np.all(drawn[:, 1] == 2)


@jax.jit
def reward_per_turn(hyper, world, logged):
    """Of greedy sessions by the head that serves and by Q, after training from logs alone, [seeds, 2]; each copy's steps."""
    learner, network, data = TwoHeadLearner(scene(1), CONFIG), scene(1).network, Data(logged=logged)

    def one_seed(key):
        start_key, run_key, play_key = jax.random.split(key, 3)
        run = learner.init(run_key, hyper, data, (network.init(start_key, 2),))
        run = jax.lax.scan(
            lambda run, _: (learner.update(run, hyper, data)[0], None), run, length=learner.updates
        )[0]
        valuing = jax.tree.map(lambda leaf: leaf[0], run.params).second()
        actors = learner.actor(run, hyper, data, True), exploring_actor(network, valuing, 0.0)
        played = [play(play_key, actor, learner.scene.simulator, world, 200) for actor in actors]
        rewards = [jnp.sum(one.rewards) / jnp.sum(one.length.astype(jnp.float32)) for one in played]
        return jnp.stack(rewards), run.optimiser.count

    return jax.vmap(one_seed)(jax.random.split(jax.random.key(0), 3))


@pytest.mark.parametrize("name", PAYS)
def test_from_logs_of_random_recommendations_alone_it_nears_the_optimum(name):
    """The head that does not serve knows what pays too. In every step one of the copies learns."""
    world = world_of(name)
    rewards, steps = map(np.asarray, reward_per_turn(QUICK, world, logged_in(world)))
    served, valued = np.mean(rewards, axis=0)
    assert np.all(np.sum(steps, axis=1) == CONFIG.updates) and np.min(steps) > 0.4 * CONFIG.updates
    assert served >= 0.95 * OPTIMUM and valued >= 0.9 * OPTIMUM, (served, valued)


def test_where_everything_is_imitated_it_is_no_better_than_what_was_logged():
    """Q is; but it does not serve."""
    world = world_of("by the history")
    rewards, _ = reward_per_turn(QUICK.replace(liked=0.0), world, logged_in(world))
    served, valued = np.mean(rewards, axis=0)
    assert valued >= 0.9 * OPTIMUM > 0.7 * OPTIMUM > served, (served, valued)


def test_it_is_trained_with_negatives_by_default():
    (learnt, _) = get("snqn").options().stages(None)
    assert learnt.config.negatives == 10 and learnt.hyper == TwoHeadHyper()
