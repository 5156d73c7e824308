"""The kit of encoders over all that listing finds, and on encoders that break what it asks."""

import jax.numpy as jnp
import pytest
from flax import linen as nn

from ialp_jax.artifacts import InputError
from ialp_jax.policies.config import PolicyConfig
from ialp_jax.policies.encoders import ENCODERS, Encoder, Recall, RereadingEncoder
from ialp_jax.testing import EncoderTests

KNOW_THE_START = {"session"}


@pytest.mark.parametrize("name", ENCODERS)
class TestShipped(EncoderTests):
    @pytest.fixture(autouse=True)
    def chosen(self, name):
        self.encoder, self.knows_the_start = name, name in KNOW_THE_START


class Mean(Encoder):
    """A mean of what was liked, wrong in one way or another."""

    def features(self, items, feedback, embed):
        return feedback @ embed(items)

    def begin(self, observation, embed):
        return Recall(self.features(observation.items, observation.feedback, embed))

    def advance(self, recall, item, feedback, appended, embed):
        return Recall(recall.features + jnp.where(appended, self.shown(item, feedback, embed), 0.0))

    def shown(self, item, feedback, embed):
        return feedback * embed(item)


class ReadsPadding(Mean):
    def features(self, items, feedback, embed):
        return super().features(items, feedback, embed) + feedback.sum()


class StartsAnew(Mean):
    def advance(self, recall, item, feedback, appended, embed):
        return Recall(jnp.where(appended, self.shown(item, feedback, embed), recall.features))


class AlwaysEnters(Mean):
    def advance(self, recall, item, feedback, appended, embed):
        return Recall(recall.features + self.shown(item, feedback, embed))


class Deaf(Mean):
    def shown(self, item, feedback, embed):
        return embed(item)


class ReadsNumbers(Mean):
    def shown(self, item, feedback, embed):
        return feedback * item.astype(jnp.float32) * embed(item)


class Explodes(Mean):
    def advance(self, recall, item, feedback, appended, embed):
        return Recall(recall.features * 1e6 + self.shown(item, feedback, embed))


class Idle(Mean):
    def setup(self):
        self.never = self.param("never", nn.initializers.ones, (3,))


class Forgets(RereadingEncoder):
    def read(self, carried, embed):
        return carried.feedback @ embed(carried.items)

    def advance(self, recall, item, feedback, appended, embed):
        return Recall(recall.features + feedback * embed(item), recall.carried)


@pytest.mark.parametrize(
    ("encoder", "broken"),
    [
        (ReadsPadding, "test_padded_slots_change_nothing"),
        (StartsAnew, "test_interactions_one_by_one_equal_the_whole_history"),
        (AlwaysEnters, "test_an_interaction_that_entered_changes_the_features_and_no_other_does"),
        (Deaf, "test_feedback_is_read"),
        (ReadsNumbers, "test_the_items_numbers_mean_nothing"),
        (Explodes, "test_values_and_gradients_are_finite_in_sessions_longer_than_what_is_remembered"),
        (Idle, "test_values_and_gradients_are_finite_in_sessions_longer_than_what_is_remembered"),
        (Forgets, "test_what_is_carried_gives_the_features_again"),
    ],
)
def test_the_kit_finds_what_is_wrong(encoder, broken, monkeypatch):
    monkeypatch.setitem(ENCODERS, "gru", encoder)  # under a name that the configuration takes
    tests = EncoderTests()
    tests.encoder = "gru"
    with pytest.raises(AssertionError):
        getattr(tests, broken)()


def test_an_encoder_that_is_not_listed_is_refused():
    with pytest.raises(InputError, match=r"PolicyConfig\.encoder: 'lstm' is none of gru, sasrec, session"):
        PolicyConfig(encoder="lstm")
