"""The pure user simulator: one user, no auto-reset; callers `vmap`."""

from dataclasses import dataclass
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ialp_jax.artifacts import InputError
from ialp_jax.marks import MayBeEmpty
from ialp_jax.ranges import Count, Share
from ialp_jax.values import checked
from ialp_jax.worlds.departure import REASONS, RULES, DepartureContext, departure_reason, temper_after
from ialp_jax.worlds.types import Noise, Observation, Situation, State, TimeStep, limits
from ialp_jax.worlds.world import World


@dataclass(frozen=True)
@checked
class SimulatorConfig:
    """Static rules of a simulator: shapes and switches. Thresholds are data and live in `World.departure`."""

    turn_cap: Count = 20
    """Most recommendations per session; reaching it truncates the session."""
    window: Count = 4
    """How many of the last recommended items the distance and category rules look at."""
    rules: Annotated[tuple[str, ...], MayBeEmpty()] = ("distance",)
    """Departure rules in force, the first that fires names the reason: distance, rating, category, patience, or a file of your
    own; none alone for no rule."""
    repeats: Literal["masked", "allowed"] = "masked"
    """Whether an item of the session or of the user's known history may be recommended again."""
    keep_rejected: bool = True
    """Whether items with feedback below `rejection_threshold` enter the history the policy sees."""
    rejection_threshold: Share = 0.25
    """Feedback in [0, 1] below which an item counts as rejected."""
    pay_on_departure: bool = True
    """Whether the recommendation that makes the user leave still pays its rating."""
    slice_quirk: bool = False
    """Copy EasyRL4Rec's `seq[t-N:t]`, whose window shrinks to min(t, N - t) while t < N."""

    def __post_init__(self) -> None:
        if self.rules == ("none",):
            object.__setattr__(self, "rules", ())
        unknown = [name for name in self.rules if name not in RULES]
        if unknown:
            raise InputError(f"unknown departure rule {unknown[0]!r}", column="simulator.rules",
                             fix=f"use some of {', '.join(RULES)}")  # fmt: skip


@dataclass(frozen=True)
class Simulator:
    """Pure functions `reset`, `start`, `step` and `transition` of one user under fixed rules."""

    config: SimulatorConfig

    def reset(self, key: PRNGKeyArray, world: World) -> tuple[State, TimeStep]:
        """Opens a session of a user drawn uniformly from `world.session_users`."""
        user = jax.random.choice(key, world.session_users)
        return self.start(user, world)

    def start(self, user: Int[Array, ""], world: World) -> tuple[State, TimeStep]:
        """Opens a session of a given user."""
        cap = self.config.turn_cap
        state = State(
            user=user,
            turn=jnp.int32(0),
            session_items=jnp.full(cap, world.num_items, jnp.int32),
            session_feedback=jnp.zeros(cap),
            temper=world.departure.patience_start,
        )
        return state, self._timestep(
            state, world, reward=jnp.float32(0.0), feedback=jnp.float32(0.0), terminated=jnp.bool_(False),
            truncated=jnp.bool_(False), appended=jnp.bool_(False), reason=jnp.int32(0),
        )  # fmt: skip

    def step(
        self, key: PRNGKeyArray, state: State, action: Int[Array, ""], world: World
    ) -> tuple[State, TimeStep]:
        """Recommends item `action`; never resets. Stepping a finished session is undefined."""
        return self.transition(state, action, sample_noise(key), world)

    def transition(
        self, state: State, action: Int[Array, ""], noise: Noise, world: World
    ) -> tuple[State, TimeStep]:
        """The transition as a pure function of explicit noise."""
        config = self.config
        rating = world.ratings.of(state.user, action) + world.rating_noise * noise.rating
        rating = jnp.clip(rating, world.rating_low, world.rating_high)
        feedback = world.feedback(rating)
        temper = temper_after(state.temper, feedback, world)
        session_items = state.session_items.at[state.turn].set(action, mode="drop")
        # Read after it was written, the array need not be copied.
        items, valid = self.window(state.replace(session_items=session_items))  # type: ignore[attr-defined]
        context = DepartureContext(action, rating, items, valid, temper)
        reason = departure_reason(config.rules, context, world)
        terminated = reason > 0
        following = State(
            user=state.user,
            turn=state.turn + 1,
            session_items=session_items,
            session_feedback=state.session_feedback.at[state.turn].set(feedback, mode="drop"),
            temper=temper,
        )
        truncated = (following.turn >= config.turn_cap) & ~terminated
        reason = jnp.where(truncated, jnp.int32(REASONS.index("turn_cap")), reason)
        paid = jnp.bool_(True) if config.pay_on_departure else ~terminated
        reward = jnp.where(paid, rating, 0.0)
        return following, self._timestep(
            following, world, reward=reward, feedback=feedback, terminated=terminated, truncated=truncated,
            appended=self._enters_history(feedback), reason=reason,
        )  # fmt: skip

    def window(self, state: State) -> tuple[Int[Array, "W"], Bool[Array, "W"]]:
        """The last W recommended items of the session, most recent first, and which of the slots are filled."""
        width, turn = self.config.window, state.turn
        ages = jnp.arange(width, dtype=jnp.int32)
        size = jnp.minimum(turn, width)
        if self.config.slice_quirk:
            size = jnp.where(turn < width, jnp.minimum(turn, width - turn), width)
        items = state.session_items[jnp.maximum(turn - 1 - ages, 0)]
        return items, ages < size

    def situation(self, state: State, world: World) -> Situation:
        """What may be seen and recommended in a state. Pure: what the caller does not use is not computed."""
        if self.config.repeats == "masked":
            excluded = jnp.concatenate([world.initial_items[state.user], state.session_items])
        else:
            excluded = jnp.zeros(0, jnp.int32)
        return Situation(
            state.user, self.observation(state, world), limits(excluded, world.allowed_items[state.user])
        )

    def observation(self, state: State, world: World) -> Observation:
        """The last H interactions of the known history and the session, rejected ones left out where configured."""
        length = world.initial_items.shape[1]
        slots = jnp.arange(self.config.turn_cap)
        entered = (slots < state.turn) & self._enters_history(state.session_feedback)
        count, order = state.turn, slots
        if not self.config.keep_rejected:
            count, order = jnp.sum(entered, dtype=jnp.int32), jnp.argsort(~entered, stable=True)
        last = count + jnp.arange(length)  # positions in the known history followed by what entered

        def latest(known: Array, session: Array) -> Array:
            return jnp.concatenate([known[state.user], session[order]])[last]

        return Observation(
            items=latest(world.initial_items, state.session_items),
            feedback=latest(world.initial_feedback, state.session_feedback),
        )

    def _enters_history(self, feedback: Float[Array, "*slots"]) -> Bool[Array, "*slots"]:
        if self.config.keep_rejected:
            return jnp.ones_like(feedback, bool)
        return feedback >= self.config.rejection_threshold

    def _timestep(self, state: State, world: World, **outcome: Array) -> TimeStep:
        now = self.situation(state, world)
        return TimeStep(now.user, now.observation, now.limits, **outcome)


def sample_noise(key: PRNGKeyArray, shape: tuple[int, ...] = ()) -> Noise:
    """Draws the noise of one transition, or of a whole shape of them at once, which is cheaper."""
    return Noise(rating=jax.random.normal(key, shape))
