"""Conformance suite: can this environment be trained on? For anybody's world and simulator."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from ialp_jax.data.dataset import Dataset
from ialp_jax.environments.check_arrays import ARRAY_CHECKS, Check, CheckResult, result
from ialp_jax.environments.registry import Environment
from ialp_jax.policies.fixed import RandomPolicy, fixed_actor
from ialp_jax.serving.play import play
from ialp_jax.worlds.departure import REASONS
from ialp_jax.worlds.fit.cautions import ONE_RATING
from ialp_jax.worlds.fit.fit import fit_world
from ialp_jax.worlds.simulator import Simulator
from ialp_jax.worlds.world import World, catalogue_ratings

SESSIONS = 64  # played side by side
STATISTICS_SESSIONS = 512
SEED = 0
RATINGS = "ratings differ"


def check_world(simulator: Simulator, world: World) -> list[CheckResult]:
    """Runs every check; sessions are only played where the arrays are sound.

    Args:
        simulator: the rules.
        world: the arrays.

    Returns:
        One result per check, in a fixed order. All passed means that the environment may be trained on.
    """
    results = [check(simulator, world) for check in ARRAY_CHECKS]
    if not all(line.passed for line in results):
        return [*results, CheckResult("sessions", False, "not played: the arrays above are wrong")]
    results.append(_same_types(simulator, world))
    if not results[-1].passed:
        return [*results, CheckResult("sessions", False, "not played: states must keep their types")]
    return results + [check(simulator, world) for check in SESSION_CHECKS]


def check_environment(environment: Environment, dataset: Dataset) -> list[CheckResult]:
    """Fits an environment's users to logs, and runs every check on the world that comes of it; what to look at comes last."""
    world, report = fit_world(dataset, environment.fit, environment.data.history_length)
    results = check_world(Simulator(environment.simulator), world)
    repeated = ONE_RATING if RATINGS in [line.name for line in results if not line.passed] else None
    looks = [caution for caution in report.cautions if caution != repeated]
    return results + [CheckResult("logs and fit", True, caution, True) for caution in looks]


def _signature(tree: Any) -> Any:
    return jax.tree.structure(tree), [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(tree)]


def _same_types(simulator: Simulator, world: World) -> CheckResult:
    key = jax.random.key(SEED)
    opened = jax.eval_shape(simulator.reset, key, world)
    stepped = jax.eval_shape(simulator.step, key, opened[0], jnp.int32(0), world)
    problems = [
        f"{name} changes its structure, shapes or types between reset and step"
        for name, before, after in zip(("state", "timestep"), opened, stepped, strict=True)
        if _signature(before) != _signature(after)
    ]
    return result("same types after reset and step", problems, "state and timestep")


def _transcript(simulator: Simulator, world: World) -> Any:
    """Random sessions stepped to the cap under jit, vmap and scan.

    Returns:
        Leaves [L, S]: items, masks before the choice, timesteps after it, and who was still there.
    """
    return jax.device_get(_run_transcript(jax.random.key(SEED), simulator, world))


@partial(jax.jit, static_argnames="simulator")
def _run_transcript(key: PRNGKeyArray, simulator: Simulator, world: World) -> Any:
    policy = RandomPolicy(world.num_items)

    def one(key, state, timestep):
        act_key, step_key = jax.random.split(key)
        item = policy.act(act_key, timestep)
        return item, timestep.action_mask(world.num_items), simulator.step(step_key, state, item, world)

    def turn(carry, key):
        states, timesteps, live = carry
        keys = jax.random.split(key, SESSIONS)
        items, masks, (states, timesteps) = jax.vmap(one)(keys, states, timesteps)
        following = (states, timesteps, live & ~(timesteps.terminated | timesteps.truncated))
        return following, (items, masks, timesteps, live)

    reset_key, turns_key = jax.random.split(key)
    opened = jax.vmap(simulator.reset, (0, None))(jax.random.split(reset_key, SESSIONS), world)
    keys = jax.random.split(turns_key, simulator.config.turn_cap)
    return jax.lax.scan(turn, (*opened, jnp.ones(SESSIONS, bool)), keys)[1]


def _ratings_differ(simulator: Simulator, world: World) -> CheckResult:
    """Where nothing is better than anything else, nothing can be learnt."""
    users = world.session_users[:SESSIONS]
    ratings = np.asarray(catalogue_ratings(world.ratings, users))
    problem = f"every user gives every item the rating {ratings.flat[0]:g}: nothing can be learnt"
    return result(RATINGS, [problem] * (not np.ptp(ratings)), "some items please more than others")


def _transforms(simulator: Simulator, world: World) -> CheckResult:
    """A user's step alone, and side by side with others', must agree."""
    seeds, items = jnp.arange(3), jnp.arange(3, dtype=jnp.int32) % world.num_items

    def first(seed, item):
        reset_key, step_key = jax.random.split(jax.random.key(seed))
        return simulator.step(step_key, simulator.reset(reset_key, world)[0], item, world)

    alone = jax.tree.leaves(jax.jit(first)(seeds[0], items[0]))
    together = jax.tree.leaves(jax.jit(jax.vmap(first))(seeds, items))
    same = all(np.allclose(left, right[0], atol=1e-5) for left, right in zip(alone, together, strict=True))
    problems = [] if same else ["a step alone and the same step under vmap differ"]
    return result("jit and vmap", problems, "a step alone equals the same step in a batch")


def _deterministic(simulator: Simulator, world: World) -> CheckResult:
    first, second = _transcript(simulator, world), _transcript(simulator, world)
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    same = all(np.array_equal(left, right) for left, right in pairs)
    return result(
        "deterministic", [] if same else ["two runs from one key differ"], "same key, same sessions"
    )


def _endings(simulator: Simulator, world: World) -> CheckResult:
    _, _, timesteps, live = _transcript(simulator, world)
    terminated, truncated, cap = timesteps.terminated, timesteps.truncated, simulator.config.turn_cap
    problems = []
    if np.any(terminated & truncated & live):
        problems.append("a session is terminated and truncated at once")
    if np.any(truncated[:-1] & live[:-1]):
        problems.append(f"a session is truncated before the turn cap of {cap}")
    if np.any(~(terminated | truncated)[-1] & live[-1]):
        problems.append(f"a session goes on after the turn cap of {cap}")
    if np.any((timesteps.reason == 0) & (terminated | truncated) & live):
        problems.append("a session ends for no reason")
    return result("endings", problems, f"left or reached the cap of {cap}, never both")


def _rewards(simulator: Simulator, world: World) -> CheckResult:
    _, _, timesteps, live = _transcript(simulator, world)
    paid = live & (simulator.config.pay_on_departure | ~timesteps.terminated)
    rewards, feedback = timesteps.reward[paid], timesteps.feedback[live]
    low, high = float(world.rating_low), float(world.rating_high)
    problems = []
    if not np.all((rewards >= low - 1e-5) & (rewards <= high + 1e-5)):
        problems.append(
            f"rewards run from {rewards.min():g} to {rewards.max():g}, ratings from {low:g} to {high:g}"
        )
    if not np.all((feedback >= -1e-5) & (feedback <= 1 + 1e-5)):
        problems.append(f"feedback runs from {feedback.min():g} to {feedback.max():g}, not within 0..1")
    return result("rewards", problems, f"within {low:g}..{high:g}, feedback within 0..1")


def _masks(simulator: Simulator, world: World) -> CheckResult:
    items, masks, _, live = _transcript(simulator, world)
    problems = []
    if not np.all(masks.any(axis=-1) | ~live):
        problems.append("a user has no item left that may be recommended")
    if simulator.config.repeats == "masked":
        sessions = (items[live[:, user], user] for user in range(SESSIONS))
        if any(len(np.unique(session)) < len(session) for session in sessions):
            problems.append("an item is recommended twice in one session although repeats are masked")
    return result(
        "masks", problems, f"at least {int(masks.sum(axis=-1)[live].min())} items may be recommended"
    )


def _one_trace(simulator: Simulator, world: World) -> CheckResult:
    """Other values in the same shapes must not compile again: worlds are data."""
    traces = []

    @jax.jit
    def step(world):
        traces.append(1)
        state, _ = simulator.start(world.session_users[0], world)
        return simulator.step(jax.random.key(SEED), state, jnp.int32(0), world)

    step(world)
    step(jax.tree.map(lambda leaf: leaf + 1 if leaf.ndim == 0 else leaf, world))
    return result(
        "compiled once", ["another world's values compile again"] * (len(traces) > 1), "worlds are data"
    )


def _random_policy(simulator: Simulator, world: World) -> CheckResult:
    """Never fails: shows what a random policy gets, and warns where sessions are all alike."""
    actor = fixed_actor(RandomPolicy(world.num_items))
    run = jax.jit(partial(play, actor=actor, simulator=simulator, sessions=STATISTICS_SESSIONS))
    played = jax.device_get(run(jax.random.key(SEED), world=world))
    reasons = np.bincount(played.reason, minlength=len(REASONS)) / STATISTICS_SESSIONS
    shares = ", ".join(
        f"{name} {share:.0%}" for name, share in zip(REASONS, reasons, strict=True) if share > 0
    )
    detail = f"length {played.length.mean():.2f}, return {played.total.mean():.3f}, ends: {shares}"
    cap = simulator.config.turn_cap
    if np.all(played.length == 1) and cap > 1:
        return CheckResult(
            "random policy", True, f"{detail}; every user leaves at once: relax the rules", True
        )
    if np.all(played.length == cap):
        return CheckResult("random policy", True, f"{detail}; nobody ever leaves: tighten the rules", True)
    return CheckResult("random policy", True, detail)


SESSION_CHECKS: tuple[Check, ...] = (
    _ratings_differ, _transforms, _deterministic, _endings, _rewards, _masks, _one_trace, _random_policy,
)  # fmt: skip
