"""LLM filter: its posterior, its draws, what the table vetoes, and that what was executed teaches."""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ialp_jax.methods.named.llm_filter import (
    Filtered,
    FilterHyper,
    FilterLearner,
    drawn_weights,
    filtered_item,
    filtering_actor,
    least_passing,
)
from ialp_jax.policies.fixed import best_permitted
from ialp_jax.recommenders.fold_in import tastes
from ialp_jax.recommenders.pair_features import item_features, lift
from ialp_jax.recommenders.regression import Evidence, observed, prior
from ialp_jax.serving.sessions import Actor
from ialp_jax.serving.shares import user_keys
from ialp_jax.testing.trial import Trial, row
from ialp_jax.worlds.types import Situation

pytestmark = pytest.mark.usefixtures("batched_keys")

MEAN, COVARIANCE = [27.417641, 23.804463], [[77.045696, -10.626993], [-10.626993, 87.672689]]
RANK = 16
"""Of the factorisation."""


def known():
    """Two answers, 50 to (1, 0) and 200 to (1, 1), of variance 625 to weights of variance 100."""
    return prior(jnp.zeros(2), 100.0).and_also(
        observed(jnp.array([[1.0, 0.0], [1.0, 1.0]]), jnp.array([50.0, 200.0]), 625.0)
    )


def test_the_posterior_is_that_of_the_closed_form():
    with jax.enable_x64(True):
        evidence = known()
        np.testing.assert_allclose(evidence.mean, MEAN, atol=5e-7)
        np.testing.assert_allclose(evidence.covariance, COVARIANCE, atol=5e-7)


def test_weights_are_drawn_from_the_posterior():
    evidence, keys = known(), jax.random.split(jax.random.key(0), 100_000)
    factor = jnp.linalg.cholesky(evidence.precision)
    draws = jax.jit(jax.vmap(drawn_weights, (0, None, None)))(keys, evidence.mean, factor)
    np.testing.assert_allclose(np.mean(draws, axis=0), MEAN, atol=0.15)
    np.testing.assert_allclose(np.cov(draws, rowvar=False), COVARIANCE, atol=1.5)


def test_a_share_of_every_row_passes():
    table = jnp.asarray(np.random.default_rng(0).permuted(np.tile(np.arange(10.0), (3, 1)), axis=1))
    for share, number in ((0.3, 3), (0.34, 3), (1.0, 10), (1e-3, 1)):
        assert (table >= least_passing(table, share)[:, None]).sum(axis=1).tolist() == [number] * 3
    assert (
        jnp.zeros((2, 10)) >= least_passing(jnp.zeros((2, 10)), 0.1)[:, None]
    ).all()  # equals pass together


@pytest.mark.parametrize(
    ("passes", "item", "vetoed"),
    [
        ([1, 1, 1, 1], 1, False),  # all are sent: the best one that is permitted
        (
            [1, 0, 0, 1],
            3,
            True,
        ),  # the proposal is vetoed: the next best that passes, not the best of all that pass
        ([0, 0, 1, 0], 1, False),  # what passes is not permitted: as if nothing were vetoed
        ([0, 0, 0, 0], 1, False),
    ],
)
def test_a_vetoed_proposal_gives_way_to_the_next_best_that_passes(passes, item, vetoed):
    scores, permitted = jnp.array([0.1, 0.7, 0.9, 0.3]), jnp.array([True, True, False, True])
    chosen, told = filtered_item(jax.random.key(0), scores, jnp.array(passes, bool), permitted)
    assert (int(chosen), bool(told)) == (item, vetoed)


class PlainThompson(FilterLearner):
    """Without a table, written out again: whoever is recommended something is recommended the best by drawn weights."""

    def actor(self, run, hyper, data, greedy=False):
        items, mean = item_features(data.fitted), run.evidence.mean
        factor = jnp.linalg.cholesky(run.evidence.precision)

        def one_user(key, taste, situation):
            weight_key, _, tie_key = jax.random.split(key, 3)
            scores = items @ (lift(taste).T @ drawn_weights(weight_key, mean, factor))
            return best_permitted(tie_key, scores, situation), Filtered(taste, jnp.bool_(False))

        def begin(histories):
            return tastes(data.fitted, histories)

        return Actor(
            begin, lambda recall, *more: recall, lambda *given: jax.vmap(one_user)(*given), user_keys
        )


@lru_cache
def small():
    trial = Trial.small("llm_filter")
    return trial.program(trial.stages[-1], [0])


@lru_cache
def functions(learner):
    """One program each for all numbers."""
    return jax.jit(learner.init), jax.jit(learner.update)


def trajectory(learner, hyper, updates=4):
    """Items of every session after each update, and the evidence at the end."""
    data, items = small().data, []
    init, update = functions(learner)
    run = init(jax.random.key(5), hyper, data, ())
    for _ in range(updates):
        run, _ = update(run, hyper, data)
        items.append(np.asarray(run.serving.sessions.state.session_items))
    return np.stack(items), run.evidence


def test_a_table_that_vetoes_nothing_is_thompson_sampling_to_the_bit():
    learner = small().learner
    plain = trajectory(PlainThompson(learner.scene, learner.config), FilterHyper())
    for given in (FilterHyper(kept_share=1.0), FilterHyper(kept_share=1.0, judge_temperature=0.3)):
        items, evidence = trajectory(learner, given)
        np.testing.assert_array_equal(items, plain[0])
        for name in ("precision", "pull"):
            assert getattr(evidence, name).tobytes() == getattr(plain[1], name).tobytes()
    assert (trajectory(learner, FilterHyper(kept_share=0.2))[0] != plain[0]).any()


def test_the_executed_item_teaches_not_the_proposed_one():
    program, hyper = small(), FilterHyper(kept_share=0.2)
    learner, data = program.learner, program.data
    init, update = functions(learner)
    run = init(jax.random.key(5), hyper, data, ())
    serve = jax.jit(lambda run: learner.serve(run.serving, learner.actor(run, hyper, data.hidden()), data))
    served, (after, told) = serve(run), update(run, hyper, data)
    now, fit = served.transitions, data.fitted
    assert (
        float(told["vetoed"]) == pytest.approx(float(now.extras.vetoed.mean()))
        and now.extras.vetoed.mean() > 0.2
    )
    item = np.asarray(now.action).ravel()
    taste = np.asarray(now.extras.taste, float).reshape(item.size, -1)
    of_items, popular = np.asarray(fit.item, float)[item], np.asarray(fit.popular, float)[item, None]
    products = taste * of_items
    features = np.hstack(
        [products, of_items, products.sum(axis=1, keepdims=True), popular, np.ones((item.size, 1))]
    )
    added = after.evidence.precision - run.evidence.precision
    np.testing.assert_allclose(added, features.T @ features / hyper.noise_variance, rtol=1e-2, atol=2e-2)
    pull = np.asarray(now.feedback, float).ravel() @ features / hyper.noise_variance
    np.testing.assert_allclose(after.evidence.pull - run.evidence.pull, pull, rtol=1e-2, atol=2e-2)


def situations(users):
    """Users who open a session."""
    program = small()
    world, simulator = program.data.users_world, program.learner.scene.simulator
    _, step = jax.vmap(simulator.start, (0, None))(users, world)
    return Situation(step.user, step.observation, step.limits)


def acted(hyper, users, greedy=False):
    """Items of users who open a session, and the table's rows."""
    program = small()
    run = row(program.start(), 0)
    threshold = least_passing(program.data.prior, hyper.kept_share)
    actor = filtering_actor(run.evidence, threshold, hyper, program.data.hidden(), greedy)
    seen = situations(users)
    keys = actor.keys(jax.random.key(3), users.size)
    items, _ = jax.jit(actor.act)(keys, actor.begin(seen.observation), seen)
    return np.asarray(items), np.asarray(program.data.prior), np.asarray(threshold)


def test_only_the_best_share_of_a_users_row_is_recommended():
    users = small().data.users_world.session_users
    items, table, threshold = acted(FilterHyper(kept_share=0.3), users)
    assert (table[users, items] >= threshold[users]).all() and len(set(items.tolist())) > 2


def test_a_soft_judge_passes_items_by_their_scores():
    """Everybody is one user; the mean of how often an item is served that the threshold forbids is between none and all."""
    users = jnp.resize(small().data.users_world.session_users[:1], (2000,))
    passed = {}
    for temperature in (0.0, 0.05, 1e6):
        hyper = FilterHyper(kept_share=0.2, judge_temperature=temperature)
        items, table, threshold = acted(hyper, users)
        passed[temperature] = (table[users, items] < threshold[users]).mean()
    assert passed[0.0] == 0.0 < passed[0.05] < passed[1e6]
    greedy, table, threshold = acted(hyper, users, greedy=True)
    assert (table[users, greedy] >= threshold[users]).all() and len(set(greedy.tolist())) == 1


def test_items_pass_with_the_probability_of_their_score():
    """sigmoid((L - threshold) / T), of the draw that the actor makes: half of the items above the threshold, half below."""
    program, hyper = small(), FilterHyper(kept_share=0.5, judge_temperature=0.5)
    users, width = jnp.resize(program.data.users_world.session_users[:1], (4000,)), 2 * RANK + 3
    table = jnp.zeros_like(program.data.prior).at[:, 1::2].set(1.0)
    alike = Evidence(1e12 * jnp.eye(width), jnp.zeros(width).at[-1].set(1e12))  # every item is as good as any
    data = program.data.replace(prior=table).hidden()
    actor = filtering_actor(alike, jnp.full(table.shape[0], 0.5), hyper, data)
    seen, keys = situations(users), actor.keys(jax.random.key(4), users.size)
    items, _ = jax.jit(actor.act)(keys, actor.begin(seen.observation), seen)
    permitted = np.asarray(row(seen, 0).action_mask(table.shape[1]))
    lower, upper = 1 / (1 + np.exp(1.0)), 1 / (1 + np.exp(-1.0))
    # With `lower` all pass; with `upper` - `lower` the upper half alone; else none, and all may be recommended.
    expected = (lower + 1 - upper) * permitted[::2].sum() / permitted.sum()
    assert np.mean(np.asarray(items) % 2 == 0) == pytest.approx(expected, abs=0.03)
