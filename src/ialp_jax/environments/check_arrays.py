"""Checks of a world's arrays that need no session: values, types, shapes, ids, room for a whole session."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from ialp_jax.worlds.simulator import Simulator
from ialp_jax.worlds.world import World


@dataclass(frozen=True)
class CheckResult:
    """One line of the table. `warning` marks a result that passes but that the user should look at."""

    name: str
    passed: bool
    detail: str
    warning: bool = False


Check = Callable[[Simulator, World], CheckResult]


def result(name: str, problems: list[str], good: str) -> CheckResult:
    """Passed, with `good` as detail, if there are no problems."""
    return CheckResult(name, not problems, "; ".join(problems) or good)


def _named_leaves(world: World) -> list[tuple[str, np.ndarray]]:
    leaves = jax.tree_util.tree_leaves_with_path(world)
    return [
        (jax.tree_util.keystr(path, simple=True, separator="."), np.asarray(leaf)) for path, leaf in leaves
    ]


def _finite(simulator: Simulator, world: World) -> CheckResult:
    # An infinite departure parameter means that its rule never fires.
    problems = [
        f"{name} holds {'NaN' if np.isnan(leaf).any() else 'infinite values'}"
        for name, leaf in _named_leaves(world)
        if np.isnan(leaf).any() or (not name.startswith("departure.") and not np.isfinite(leaf).all())
    ]
    return result("finite arrays", problems, "no NaN, nothing infinite")


def _dtypes(simulator: Simulator, world: World) -> CheckResult:
    integers = ("session_users", "initial_items", "allowed_items", "departure.category_limit")
    others = {"item_categories": "bool", "near": "uint8", **dict.fromkeys(integers, "int32")}
    problems = []
    for name, leaf in _named_leaves(world):
        expected = others.get(name, "float32")
        if leaf.dtype != expected:
            problems.append(f"{name} is {leaf.dtype}, not {expected}")
    return result("types", problems, "float32, int32, bool and uint8 as documented")


def _shapes(simulator: Simulator, world: World) -> CheckResult:
    users, items = world.initial_items.shape[0], world.num_items
    expected = {
        "initial_feedback": world.initial_items.shape,
        "item_categories": (items, *world.item_categories.shape[1:]),
        "allowed_items": (users, *world.allowed_items.shape[1:]),
        "near": (items, -(-items // 8)) if world.near.size else world.near.shape,
    }
    problems = [
        f"{name} has shape {getattr(world, name).shape}, not {shape}"
        for name, shape in expected.items()
        if getattr(world, name).shape != shape
    ]
    if not world.session_users.size:
        problems.append("session_users is empty")
    try:
        row = jax.eval_shape(world.ratings.of_all, jnp.int32(0)).shape
    except (TypeError, ValueError) as error:
        problems.append(f"ratings.of_all fails: {error}")
    else:
        problems += [] if row == (items,) else [f"ratings.of_all gives {row}, not {(items,)}"]
    return result(
        "shapes", problems, f"{users} users, {items} items, history of {world.initial_items.shape[1:]}"
    )


def _ids(simulator: Simulator, world: World) -> CheckResult:
    users, items = world.initial_items.shape[0], world.num_items
    limits = {"session_users": users - 1, "initial_items": items, "allowed_items": items - 1}
    problems = []
    for name, most in limits.items():
        ids = np.asarray(getattr(world, name))
        if ids.size and (ids.min() < 0 or ids.max() > most):
            problems.append(f"{name} runs from {ids.min()} to {ids.max()}, not within 0..{most}")
    return result("ids in range", problems, "users, items and padding")


def _ranges(simulator: Simulator, world: World) -> CheckResult:
    problems = []
    if not world.rating_low < world.rating_high:
        problems.append(f"rating_low {world.rating_low} is not below rating_high {world.rating_high}")
    if not world.rating_high > 0:
        problems.append(f"rating_high {world.rating_high} is not above 0; rewards are divided by it")
    feedback = np.asarray(world.initial_feedback)
    if feedback.size and (feedback.min() < 0 or feedback.max() > 1):
        problems.append("initial_feedback leaves [0, 1]")
    padded = np.asarray(world.initial_items) == world.num_items
    if padded.shape == feedback.shape and np.any(feedback[padded] != 0):
        problems.append("initial_feedback is not 0 where initial_items is padding")
    if np.any(padded[:, 1:] & ~padded[:, :-1]):
        problems.append("initial_items has padding after an item; pad on the left")
    if np.asarray(world.rating_noise) < 0:
        problems.append("rating_noise is negative")
    return result("ranges", problems, f"ratings {world.rating_low:g}..{world.rating_high:g}, feedback 0..1")


def _enough_items(simulator: Simulator, world: World) -> CheckResult:
    """With masked repeats, every user needs an item left on the last turn."""
    if simulator.config.repeats == "allowed":
        return CheckResult("enough items", True, "repeats are allowed")
    everything = range(world.num_items)
    allowed, known = np.asarray(world.allowed_items), np.asarray(world.initial_items)
    left = [
        len(set(may.tolist() if may.size else everything) - set(knows.tolist()))
        for may, knows in zip(allowed, known, strict=True)
    ]
    worst, cap = int(np.argmin(left)), simulator.config.turn_cap
    problem = (
        f"user {worst} has {left[worst]} items that may be recommended and are not known yet, but the turn "
        f"cap is {cap}: lower it, allow repeats, or shorten the history"
    )
    return result("enough items", [problem] * (left[worst] < cap), f"at least {left[worst]} for {cap} turns")


ARRAY_CHECKS: tuple[Check, ...] = (_finite, _dtypes, _shapes, _ids, _ranges, _enough_items)
