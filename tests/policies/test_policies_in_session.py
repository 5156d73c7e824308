"""A loaded policy in mid-session: what it recommends after some turns is what it would have recommended in training."""

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
from random_worlds import random_world
from tiny_runs import tiny_network, tiny_params

from ialp_jax.artifacts import InputError
from ialp_jax.commands import recommend
from ialp_jax.policies.actor import item_distribution
from ialp_jax.policies.artifact import LIKENESS, load_policy, save_policy
from ialp_jax.policies.encoders import ENCODERS
from ialp_jax.serving.likeness import LikenessRule
from ialp_jax.worlds.simulator import Simulator, SimulatorConfig

ITEMS, HISTORY, TURNS, WINDOW = 40, 4, 3, 2
POINTS = np.random.default_rng(3).normal(size=(ITEMS, 3)).astype(np.float32)


def save(folder, encoder="gru", likeness=None):
    """A policy saved in a folder: its network and its parameters."""
    network = tiny_network(ITEMS, encoder)
    params = tiny_params(network, HISTORY)
    catalogue = pl.DataFrame({
        "item": pl.Series(range(ITEMS), dtype=pl.Int32), "raw_id": [f"id{i}" for i in range(ITEMS)],
        "title": [f"Title {i}" for i in range(ITEMS)], "text": [""] * ITEMS,
    })  # fmt: skip
    save_policy(folder, params, network.module.config, catalogue, HISTORY, [], likeness)
    return network, params


def rule(share=0.2, window=WINDOW):
    distances = np.linalg.norm(POINTS[:, None] - POINTS[None], axis=-1)
    return LikenessRule(POINTS, float(np.quantile(distances[~np.eye(ITEMS, dtype=bool)], share)), window)


def known_history(world, user):
    known = world.initial_items[user] < ITEMS
    return world.initial_items[user][known].tolist(), world.initial_feedback[user][known].tolist()


@pytest.mark.parametrize("encoder", list(ENCODERS))
def test_after_some_turns_it_recommends_what_it_would_in_training(encoder, tmp_path):
    kept_apart = rule()
    network, params = save(tmp_path / "policy", encoder, kept_apart)
    policy, table = load_policy(tmp_path / "policy"), kept_apart.table()
    world = random_world(items=ITEMS)
    simulator = Simulator(SimulatorConfig(turn_cap=TURNS + 1, rules=()))
    state, timestep = jax.tree.map(lambda leaf: leaf[None], simulator.start(jnp.int32(1), world))
    begin, advance, step = (
        jax.jit(network.begin),
        jax.jit(network.advance),
        jax.jit(jax.vmap(simulator.step, (0, 0, 0, None))),
    )
    log_probs = jax.jit(
        lambda recall, situation: item_distribution(network, params, recall, situation).log_prob(
            jnp.arange(ITEMS)[:, None]
        )
    )
    recall = begin(params, timestep.observation)
    history, session, answers = known_history(world, 1), [], []
    for turn in range(TURNS):
        situation = table.kept_apart(timestep, state.turn, state.session_items)
        logs = np.asarray(log_probs(recall, situation))[:, 0]
        allowed = np.asarray(jax.vmap(lambda one: one.action_mask(ITEMS))(situation))[0]
        found = policy.recommend(*history, ITEMS - len({*history[0], *session}), session, answers)
        assert {one.item for one in found} == set(np.flatnonzero(allowed))
        np.testing.assert_allclose(
            [one.probability for one in found], np.exp(logs[[one.item for one in found]]), rtol=1e-4
        )
        item = jnp.array([found[-1].item], jnp.int32)
        state, timestep = step(jax.random.split(jax.random.key(turn), 1), state, item, world)
        recall = advance(params, recall, item, timestep.feedback, timestep.appended)
        session, answers = [*session, int(item[0])], [*answers, float(timestep.feedback[0])]
    assert not allowed[session[:-1]].any() and allowed.sum() < ITEMS - len({*history[0], *session[:-1]})


def test_answers_in_the_session_count(tmp_path):
    save(tmp_path / "policy")
    policy = load_policy(tmp_path / "policy")
    liked, disliked = (
        policy.recommend([1, 2], session=[3, 4], answers=[grade, grade], k=9) for grade in (1.0, 0.0)
    )
    assert [one.probability for one in liked] != [one.probability for one in disliked]
    assert liked == policy.recommend([1, 2], session=[3, 4], k=9)


def test_what_is_like_the_last_items_is_kept_apart_and_older_ones_are_not(tmp_path):
    near = rule(0.3)
    save(tmp_path / "policy", likeness=near)
    policy = load_policy(tmp_path / "policy")
    alike = np.linalg.norm(POINTS[:, None] - POINTS[None], axis=-1) < near.threshold
    session = [0, 5, 7]
    found = {one.item for one in policy.recommend([], session=session, k=ITEMS - 3)}
    assert found == {item for item in range(ITEMS) if item not in session and not alike[item, [5, 7]].any()}
    assert any(alike[item, 0] for item in found), "the window shows nothing here"


def test_where_everything_is_alike_nothing_is_kept_apart(tmp_path):
    save(tmp_path / "policy", likeness=LikenessRule(POINTS, 1e6, WINDOW))
    assert len(load_policy(tmp_path / "policy").recommend([1], session=[0], k=ITEMS - 2)) == ITEMS - 2


def test_rows_of_a_batch_are_those_of_single_users(tmp_path):
    save(tmp_path / "policy", likeness=rule())
    policy = load_policy(tmp_path / "policy")
    items, none = np.full((2, HISTORY), ITEMS), np.zeros((2, 0), int)
    sessions = np.array([[ITEMS, ITEMS, 3], [5, 6, 7]])
    together = policy.log_probabilities(items, np.ones((2, HISTORY)), none, sessions, np.full((2, 3), 0.5))
    for row, session in enumerate(([[3]], [[5, 6, 7]])):
        ids = np.array(session)
        alone = policy.log_probabilities(
            items[:1], np.ones((1, HISTORY)), none[:1], ids, np.full(ids.shape, 0.5)
        )
        np.testing.assert_allclose(together[row], alone[0], rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"session": [ITEMS]}, "column session: item 40 is not in the catalogue"),
        ({"session": [3], "answers": [0.5, 0.5]}, "column answers: answers must hold one number from 0 to 1 per item of the session"),
        ({"session": [3], "answers": [2.0]}, "answers must hold one number"),
        ({"session": range(3), "k": 38}, "38 items cannot be recommended"),
    ],
)  # fmt: skip
def test_a_session_that_is_none_is_refused(tmp_path, changes, message):
    save(tmp_path / "policy")
    with pytest.raises(InputError, match=message):
        load_policy(tmp_path / "policy").recommend([], **changes)


def test_rows_that_are_no_sessions_are_refused(tmp_path):
    save(tmp_path / "policy")
    policy = load_policy(tmp_path / "policy")
    items, ones, none = np.full((1, HISTORY), ITEMS), np.ones((1, HISTORY)), np.zeros((1, 0), int)
    for sessions, answers, message in (
        ([[3, ITEMS]], None, "sessions: a history is filled after an item"),
        ([[3], [4]], None, "expected a row and as many answers for each of 1 users"),
        ([[3]], [[1.0, 1.0]], "expected a row and as many answers"),
        ([[3]], [[np.nan]], "answers must be a number from 0 to 1"),
        ([[-1]], None, "item -1 of row 0"),
    ):
        given = None if answers is None else np.array(answers)
        with pytest.raises(InputError, match=message):
            policy.log_probabilities(items, ones, none, np.array(sessions), given)


def test_points_of_another_catalogue_are_refused(tmp_path):
    network, params = save(tmp_path / "policy")
    catalogue = pl.read_parquet(tmp_path / "policy/items.parquet").with_columns(text=pl.lit(""))
    save_policy(
        tmp_path / "other",
        params,
        network.module.config,
        catalogue,
        HISTORY,
        [],
        LikenessRule(POINTS[:3], 1.0, 2),
    )
    with pytest.raises(InputError, match=rf"{LIKENESS}: it holds no points of 40 items"):
        load_policy(tmp_path / "other")


def test_the_command_says_what_it_understood_of_the_session(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    save(tmp_path / "policy", likeness=rule())
    recommend.run(
        [str(tmp_path / "policy"), "--history", "id1", "--session", "Title 5", "id7", "--answers", "1", "0.2"]
    )
    printed = capsys.readouterr().out
    assert (
        "history: Title 1 (id id1)" in printed
        and "this session: Title 5 (id id5); Title 7 (id id7)" in printed
    )
