"""The kit of departure rules over all that listing finds, and on rules that break what it asks."""

import jax.numpy as jnp
import pytest

from ialp_jax.testing import DepartureTests
from ialp_jax.worlds.departure import RULES, DepartureRule

OF_THE_WINDOW = {"distance", "category"}


@pytest.mark.parametrize("name", RULES)
class TestShipped(DepartureTests):
    @pytest.fixture(autouse=True)
    def chosen(self, name):
        self.rule, self.reads_window_only = name, name in OF_THE_WINDOW


class OddItems(DepartureRule):
    def fires(self, context, world):
        return context.action % 2 == 1


class ReadsEmptySlots(DepartureRule):
    def fires(self, context, world):
        return jnp.any(context.window_items == context.action)


class CatalogueDiffers(DepartureRule):
    def fires(self, context, world):
        return context.rating < 2.0

    def fires_for_each(self, context, world):
        return context.rating < 3.0


@pytest.mark.parametrize(
    ("rule", "broken"),
    [(OddItems, "test_the_items_numbers_mean_nothing"), (ReadsEmptySlots, "test_what_an_empty_slot_holds_means_nothing"),
     (ReadsEmptySlots, "test_nobody_leaves_because_of_an_empty_window"),
     (CatalogueDiffers, "test_each_item_of_the_catalogue_is_judged_as_alone")],
)  # fmt: skip
def test_the_kit_finds_what_is_wrong(rule, broken, monkeypatch):
    monkeypatch.setitem(RULES, "wrong", rule())
    tests = DepartureTests()
    tests.rule, tests.reads_window_only = "wrong", True
    with pytest.raises(AssertionError):
        getattr(tests, broken)()
