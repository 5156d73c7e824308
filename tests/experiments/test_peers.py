"""The peers of `experiments/peers` do the same work as ours: same rule step by step, and the A2C learns."""

import importlib.util
import math
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_worlds import world_arrays, world_from

from ialp_jax.worlds.departure import REASONS
from ialp_jax.worlds.simulator import Simulator, SimulatorConfig
from ialp_jax.worlds.types import Noise

sys.path.append(str(Path(__file__).resolve().parents[2] / "experiments"))

from peers.measure import Spec, measured
from peers.numpy_env import NumpyEnv
from peers.numpy_tuned import TunedEnv
from peers.run import best_of, summarised
from peers.world import PeerWorld, Rule, made_world

CAP, SESSIONS, USERS, ITEMS = 8, 300, 6, 14
needs_gymnasium = pytest.mark.skipif(
    importlib.util.find_spec("gymnasium") is None,
    reason='gymnasium is not installed: pip install -e ".[peers]"',
)
needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason='torch is not installed: pip install -e ".[peers]"'
)


def peer_world(arrays):
    """The peers' world of the same arrays."""
    return PeerWorld(**{name: arrays[name] for name in PeerWorld.__dataclass_fields__})


@pytest.fixture(scope="module", params=[0.0, 0.4], ids=["no noise", "noise"])
def played(request):
    """Our simulator on random actions: what every peer must do too. Repeats are among the actions."""
    arrays = world_arrays(5, users=USERS, items=ITEMS, noise=request.param)
    generator = np.random.default_rng(7)
    users = generator.integers(0, USERS, SESSIONS)
    actions = generator.integers(0, ITEMS, (CAP, SESSIONS))
    noise = generator.normal(size=(CAP, SESSIONS)).astype(np.float32)
    world, simulator = world_from(arrays), Simulator(SimulatorConfig(turn_cap=CAP))

    def turn(states, inputs):
        transition = jax.vmap(simulator.transition, (0, 0, 0, None))
        states, timesteps = transition(states, inputs[0], Noise(inputs[1]), world)
        return states, timesteps

    starts, _ = jax.vmap(simulator.start, (0, None))(jnp.asarray(users, jnp.int32), world)
    inputs = (jnp.asarray(actions, jnp.int32), jnp.asarray(noise))
    return (
        arrays,
        users,
        actions,
        noise,
        jax.device_get(jax.jit(jax.lax.scan, static_argnums=0)(turn, starts, inputs))[1],
    )


def test_the_comparison_sees_every_ending(played):
    """Guards the tests below: users must leave, reach the cap, and stay, at every turn from the second."""
    ours = played[-1]
    assert ours.terminated[1:].any(axis=1).all() and not ours.terminated[0].any()
    assert 0.1 < ours.truncated[-1].mean() < 0.9 and (~ours.done[:-1]).any(axis=1).all()
    assert set(np.unique(ours.reason)) == {0, REASONS.index("distance"), REASONS.index("turn_cap")}


@pytest.mark.parametrize("kind", [NumpyEnv, TunedEnv])
def test_numpy_environments_agree_with_the_simulator(kind, played):
    arrays, users, actions, noise, ours = played
    env = kind(peer_world(arrays), SESSIONS, Rule(CAP, 4))
    env.open(np.arange(SESSIONS), users)
    for turn in range(CAP):
        outcome = env.transition(actions[turn], noise[turn])
        np.testing.assert_allclose(outcome.reward, ours.reward[turn], atol=1e-6)
        np.testing.assert_allclose(outcome.feedback, ours.feedback[turn], atol=1e-6)
        np.testing.assert_array_equal(outcome.terminated, ours.terminated[turn])
        np.testing.assert_array_equal(outcome.truncated, ours.truncated[turn])
        np.testing.assert_array_equal(outcome.ended, np.flatnonzero(ours.done[turn]))
        items, feedback = env.observation()
        np.testing.assert_array_equal(items, ours.observation.items[turn])
        np.testing.assert_allclose(feedback, ours.observation.feedback[turn], atol=1e-6)
        np.testing.assert_array_equal(outcome.final[0], items[outcome.ended])
        np.testing.assert_array_equal(outcome.final[1], feedback[outcome.ended])
        np.testing.assert_array_equal(np.sort(env.excluded()), np.sort(ours.limits.excluded[turn]))


@needs_gymnasium
def test_the_gymnasium_environment_agrees_with_the_simulator(played):
    from peers.gym_env import UserEnv

    arrays, users, actions, _, ours = played
    if arrays["rating_noise"]:
        pytest.skip("the environment draws its own noise")
    world = peer_world(arrays)
    env, history = UserEnv(world, Rule(CAP, 4)), world.history
    for session, user in enumerate(users):
        env.reset(options={"user": user})
        for turn in range(CAP):
            seen, reward, terminated, truncated, _ = env.step(int(actions[turn, session]))
            assert math.isclose(reward, ours.reward[turn, session], abs_tol=1e-6)
            assert (terminated, truncated) == (ours.terminated[turn, session], ours.truncated[turn, session])
            np.testing.assert_array_equal(seen[:history], ours.observation.items[turn, session])
            np.testing.assert_allclose(
                seen[history : 2 * history], ours.observation.feedback[turn, session], atol=1e-6
            )
            excluded = np.sort(ours.limits.excluded[turn, session])
            np.testing.assert_array_equal(np.sort(seen[2 * history :]), excluded)
            assert env.excluded | {ITEMS} >= set(excluded.tolist())


def stream(env, turns):
    """Plays at random and checks what a stream of sessions must keep; returns rewards, endings and histories."""
    length = np.zeros(env.users, int)
    rewards, ends = [], 0
    for _ in range(turns):
        actions = env.random_actions()
        assert not (env.excluded() == actions[:, None]).any()
        outcome = env.step(actions)
        rewards.append(outcome.reward)
        length += 1
        assert length.max() <= env.rule.turn_cap
        assert (outcome.truncated <= (length == env.rule.turn_cap)).all()
        np.testing.assert_array_equal(outcome.final[0][:, -1], actions[outcome.ended])
        items, _ = env.observation()
        opened = items[outcome.ended]
        assert all(any((row == known).all() for known in env.world.initial_items) for row in opened)
        staying = np.setdiff1d(np.arange(env.users), outcome.ended)
        np.testing.assert_array_equal(items[staying, -1], actions[staying])
        length[outcome.ended] = 0
        ends += len(outcome.ended)
    return np.mean(rewards), ends / (turns * env.users)


@pytest.mark.parametrize("kind", ["numpy", "tuned", pytest.param("gym", marks=needs_gymnasium)])
def test_streams_of_sessions(kind):
    """No repeats, sessions no longer than the cap, new sessions from known histories; all alike in the long run."""
    world = made_world(60, users=20, near=0.04)
    if kind == "gym":
        from peers.gym_env import GymVector as build
    else:
        build = {"numpy": NumpyEnv, "tuned": TunedEnv}[kind]
    reward, departures = stream(build(world, 50, Rule(12, 4), seed=3), 120)
    reference = stream(NumpyEnv(world, 50, Rule(12, 4), seed=11), 120)
    assert abs(reward - reference[0]) < 0.08
    assert abs(departures - reference[1]) < 0.02


def hang(command, *, timeout, **options):
    raise subprocess.TimeoutExpired(command, timeout)


def test_a_measurement_runs_in_its_own_process():
    assert measured(Spec("numpy", 100, 16), 0.05) > 0
    with pytest.raises(RuntimeError, match="can use them all up"):
        measured(Spec("numpy", 30, 16), 0.05)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("subprocess.run", hang)
        assert measured(Spec("numpy", 100, 16), 0.05) == 0.0


def test_rows_hold_median_and_spread_and_the_best_is_marked():
    samples = {Spec("numpy", 100, 16): [1.0, 4.0, 3.0], Spec("numpy", 100, 64): [9.0, 10.0, 12.0]}
    rows = best_of([summarised(spec, rates) for spec, rates in samples.items()])
    assert [row["steps_per_s"] for row in rows] == [3.0, 10.0]
    assert [row["spread"] for row in rows] == [1.0, 0.3]
    assert [row["best"] for row in rows] == [False, True]
    assert rows[0].keys() >= {"peer", "what", "items", "users", "settings"}


@needs_torch
def test_samplers_draw_from_the_softmax():
    import torch
    from scipy.stats import chisquare

    from peers.torch_network import MASKED, SAMPLERS

    torch.manual_seed(0)
    logits = torch.randn(12)
    logits[[3, 7, 11]] = MASKED
    log_probs = torch.log_softmax(logits, dim=0)
    expected = log_probs.exp().double().numpy()
    for name, sample in SAMPLERS.items():
        counts = np.bincount(sample(log_probs.expand(20_000, 12)).numpy(), minlength=12)
        assert counts[[3, 7, 11]].sum() == 0, name
        allowed = expected > 0
        scaled = expected[allowed] / expected[allowed].sum() * counts.sum()
        assert chisquare(counts[allowed], scaled).pvalue > 1e-3, name


@needs_torch
@pytest.mark.parametrize("style", ["replay", "kept", "carried"])
def test_the_torch_a2c_learns(style):
    import torch

    from peers.torch_a2c import A2C, A2CConfig

    torch.set_num_threads(1)
    env = NumpyEnv(made_world(100, users=8), 64, Rule(5, 2), seed=1)
    at_random = np.mean([env.step(env.random_actions()).reward.mean() for _ in range(100)])
    learner = A2C(env, A2CConfig(rollout=8, style=style, sampler="cdf", learning_rate=1e-2))
    rewards = [learner.update() for _ in range(80)]
    assert abs(np.mean(rewards[:3]) - at_random) < 0.2
    assert np.mean(rewards[-20:]) > at_random + 0.4


@needs_torch
def test_replayed_and_kept_graphs_give_the_same_gradients():
    import torch

    from peers.torch_a2c import A2C, A2CConfig

    torch.set_num_threads(1)
    gradients = {}
    for style in ("replay", "kept"):
        learner = A2C(NumpyEnv(made_world(40, users=8), 16, seed=1), A2CConfig(style=style), seed=4)
        learner.update()
        gradients[style] = {name: leaf.grad.clone() for name, leaf in learner.network.named_parameters()}
    for name, gradient in gradients["replay"].items():
        assert gradient.abs().max() > 0, name
        torch.testing.assert_close(gradients["kept"][name], gradient, rtol=1e-3, atol=1e-6)


@needs_torch
def test_inverse_cdf_keeps_to_the_permitted_items_at_both_ends(monkeypatch):
    import torch

    from peers.torch_network import MASKED, sample_cdf

    log_probs = torch.log_softmax(torch.tensor([[MASKED, 0.0, MASKED, 0.3, MASKED]]), dim=1)
    monkeypatch.setattr(torch, "rand", lambda *shape: torch.zeros(shape))
    assert sample_cdf(log_probs).tolist() == [1]
    monkeypatch.setattr(torch, "rand", lambda *shape: torch.ones(shape))
    assert sample_cdf(log_probs).tolist() == [3]


@needs_torch
def test_torch_advantages_are_ours():
    import torch

    from ialp_jax.learning.returns import advantage_targets
    from peers.torch_a2c import A2C, A2CConfig

    env = NumpyEnv(made_world(60, users=8), 16, Rule(4, 2), seed=1)
    config = A2CConfig()
    learner = A2C(env, config)
    outcomes = [env.step(env.random_actions()) for _ in range(9)]
    stacked = {
        name: np.stack([getattr(one, name) for one in outcomes])
        for name in ("reward", "terminated", "truncated")
    }
    assert stacked["terminated"].any() and stacked["truncated"].any()
    values = torch.randn(9, 16)

    def value(seen):
        return learner.network.value(learner.network.encode(*map(torch.from_numpy, seen))).numpy()

    with torch.no_grad():
        learner.network.value_head[2].bias.fill_(2.0)  # so that bootstrapping from the wrong history shows
        following = np.concatenate([values[1:].numpy(), value(env.observation())[None]])
        for row, one in zip(following, outcomes, strict=True):
            row[one.ended] = value(one.final)
    expected = advantage_targets(
        jnp.asarray(stacked["reward"] / 5.0), jnp.asarray(values), jnp.asarray(following), jnp.asarray(stacked["terminated"]),
        jnp.asarray(stacked["terminated"] | stacked["truncated"]), config.discount, config.trace, jnp.ones((9, 16)), 1.0,
    )  # fmt: skip
    advantages = learner._advantages(outcomes, torch.from_numpy(stacked["reward"]), values)
    np.testing.assert_allclose(advantages.numpy(), expected.advantages, atol=1e-5)


@needs_torch
def test_the_carried_state_is_that_of_the_whole_session():
    import torch

    from peers.torch_a2c import A2C, A2CConfig

    env = NumpyEnv(made_world(60, users=8, noise=0.0), 16, Rule(6, 2), seed=1)
    learner = A2C(env, A2CConfig(style="carried", learning_rate=0.0))
    learner.update()
    assert len(set(env.turn)) > 2
    for row, (user, turn) in enumerate(zip(env.user, env.turn, strict=True)):
        shown = env.session_items[row, :turn]
        items = np.concatenate([env.world.initial_items[user], shown])
        liked = (env.world.ratings[user, shown] - 1.0) / 4.0
        feedback = np.concatenate([env.world.initial_feedback[user], liked])
        expected = learner.network.encode(torch.from_numpy(items)[None], torch.from_numpy(feedback)[None])
        torch.testing.assert_close(learner._hidden[row], expected[0], rtol=1e-4, atol=1e-5)
