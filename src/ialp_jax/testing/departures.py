"""The conformance kit of departure rules: properties that any rule has, in small random worlds."""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from ialp_jax.worlds.departure import RULES, DepartureContext, DepartureRule
from ialp_jax.worlds.world import DenseRatings, Departure, World

ITEMS, WINDOW, CATEGORIES = 14, 3, 3
CONTEXTS = 40


class DepartureTests:
    """Subclass it in a test file, name the rule, and run pytest: `class TestBored(DepartureTests): rule = "bored"`.

    Attributes:
        rule: its name.
        reads_window_only: whether it fires because of what the window holds, and never on an empty one.
    """

    rule: ClassVar[str] = ""
    reads_window_only: ClassVar[bool] = False

    def test_each_item_of_the_catalogue_is_judged_as_alone(self) -> None:
        """`fires_for_each` agrees with `fires`, compiled and over a batch; it fires for some and not for all."""
        world, contexts = _world(), _contexts(0)
        rule = self._rule()
        at_once = jax.jit(jax.vmap(rule.fires_for_each, (0, None)))(contexts, world)
        fires, rows = jax.jit(rule.fires), jax.device_get(contexts)
        alone = np.array(
            [[fires(_item(rows, row, item), world) for item in range(ITEMS)] for row in range(CONTEXTS)]
        )
        np.testing.assert_array_equal(at_once, alone)
        assert 0 < alone.mean() < 1, "it fires always or never in the kit's worlds: nothing was compared"

    def test_the_items_numbers_mean_nothing(self) -> None:
        """With the items renamed everywhere, the renamed items are judged as before."""
        world, contexts = _world(), _contexts(1)
        name = np.random.default_rng(2).permutation(ITEMS)  # of every item
        before = np.argsort(name)  # the item that has a name now
        renamed = world.replace(  # type: ignore[attr-defined]
            item_vectors=world.item_vectors[before], item_categories=world.item_categories[before],
        )  # fmt: skip
        moved = DepartureContext(contexts.action, contexts.rating[:, before], jnp.asarray(name, jnp.int32)[contexts.window_items],
                                 contexts.window_valid, contexts.temper[:, before])  # fmt: skip
        judged = jax.vmap(self._rule().fires_for_each, (0, None))
        np.testing.assert_array_equal(judged(moved, renamed)[:, name], judged(contexts, world))

    def test_what_an_empty_slot_holds_means_nothing(self) -> None:
        """Slots of the window that are not filled are not read."""
        world, contexts = _world(), _contexts(3)
        other = jnp.where(contexts.window_valid, contexts.window_items, (contexts.window_items + 5) % ITEMS)
        judged = jax.vmap(self._rule().fires_for_each, (0, None))
        np.testing.assert_array_equal(
            judged(contexts, world),
            judged(contexts.replace(window_items=other), world),  # type: ignore[attr-defined]
        )

    def test_nobody_leaves_because_of_an_empty_window(self) -> None:
        """A rule that reads the window only has no reason in the first turn."""
        if not self.reads_window_only:
            return
        contexts = _contexts(4)
        empty = contexts.replace(window_valid=jnp.zeros_like(contexts.window_valid))  # type: ignore[attr-defined]
        assert not jax.vmap(self._rule().fires_for_each, (0, None))(empty, _world()).any()

    def _rule(self) -> DepartureRule:
        return RULES[self.rule]


def _item(contexts: DepartureContext, row: int, item: int) -> DepartureContext:
    """What a rule sees of one item in one context."""
    return DepartureContext(contexts.action[row, item], contexts.rating[row, item], contexts.window_items[row],
                            contexts.window_valid[row], contexts.temper[row, item])  # fmt: skip


def _contexts(seed: int) -> DepartureContext:
    """Contexts of the whole catalogue, one a row, windows empty to full, as a session fills them."""
    generator = np.random.default_rng(seed)
    filled = generator.integers(0, WINDOW + 1, CONTEXTS)
    shape = (CONTEXTS, ITEMS)
    return DepartureContext(
        action=jnp.broadcast_to(jnp.arange(ITEMS, dtype=jnp.int32), shape),
        rating=jnp.asarray(generator.uniform(1.0, 5.0, shape), jnp.float32),
        window_items=jnp.asarray(generator.integers(0, ITEMS, (CONTEXTS, WINDOW)), jnp.int32),
        window_valid=jnp.asarray(np.arange(WINDOW) < filled[:, None]),
        temper=jnp.asarray(generator.uniform(-1.0, 1.0, shape), jnp.float32),
    )


def _world() -> World:
    """A world in which every shipped rule fires now and then; its distances are exact."""
    generator = np.random.default_rng(0)
    return World(
        ratings=DenseRatings(jnp.asarray(generator.uniform(1.0, 5.0, (2, ITEMS)), jnp.float32)),
        rating_low=jnp.float32(1.0),
        rating_high=jnp.float32(5.0),
        rating_noise=jnp.float32(0.0),
        item_vectors=jnp.asarray(generator.integers(1, 6, (ITEMS, 4)), jnp.float32),
        item_categories=jnp.asarray(generator.random((ITEMS, CATEGORIES)) < 0.5),
        session_users=jnp.arange(2, dtype=jnp.int32),
        initial_items=jnp.full((2, 1), ITEMS, jnp.int32),
        initial_feedback=jnp.zeros((2, 1)),
        allowed_items=jnp.zeros((2, 0), jnp.int32),
        departure=Departure.create(distance_threshold=3.0, rating_floor=2.0, category_limit=1),
    )
