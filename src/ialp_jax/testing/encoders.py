"""The conformance kit of encoders: properties of the features of any one, with parameters that are nowhere zero."""

from functools import cached_property
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ialp_jax.policies.actor_critic import ActorCritic, Network
from ialp_jax.policies.config import PolicyConfig
from ialp_jax.policies.encoders import ENCODERS, Recall
from ialp_jax.worlds.types import Observation

ITEMS, HISTORY, USERS = 14, 6, 5
CLOSE = 1e-5


class EncoderTests:
    """Subclass it in a test file, name the encoder, and run pytest: `class TestMine(EncoderTests): encoder = "mine"`.

    Attributes:
        encoder: its name.
        knows_the_start: whether it tells apart what the session opened with from what was recommended since; if not,
            interactions that arrive one by one must give the features of the whole history read at once.
    """

    encoder: ClassVar[str] = ""
    knows_the_start: ClassVar[bool] = False

    @cached_property
    def network(self) -> Network:
        """A small network with this encoder."""
        return Network(ActorCritic(ITEMS, PolicyConfig(encoder=self.encoder, embedding=6, hidden=8)))

    @cached_property
    def params(self) -> dict:
        """Its parameters, none of them zero."""
        key, noise_key = jax.random.split(jax.random.key(0))
        leaves, structure = jax.tree.flatten(self.network.init(key, HISTORY))
        keys = jax.random.split(noise_key, len(leaves))
        noisy = [leaf + 0.3 * jax.random.normal(k, leaf.shape) for leaf, k in zip(leaves, keys, strict=True)]
        return jax.tree.unflatten(structure, noisy)  # type: ignore[no-any-return]

    def test_padded_slots_change_nothing(self) -> None:
        """What the feedback of an empty slot holds is not read, and an empty history has finite features."""
        known = _histories(0)
        other = known.replace(feedback=jnp.where(known.items == ITEMS, 0.7, known.feedback))  # type: ignore[attr-defined]
        features = self._begin(known).features
        np.testing.assert_array_equal(self._begin(other).features, features)
        assert np.isfinite(features).all(), "features of padded histories are not finite"

    def test_interactions_one_by_one_equal_the_whole_history(self) -> None:
        """Where all fits into the window: begin, then advance, is begin on the longer history."""
        if self.knows_the_start:
            return
        longer = _histories(1, longest=HISTORY - 1)
        shorter = Observation(
            jnp.pad(longer.items, ((0, 0), (2, 0)), constant_values=ITEMS)[:, :HISTORY],
            jnp.pad(longer.feedback, ((0, 0), (2, 0)))[:, :HISTORY],
        )
        recall = self._begin(shorter)
        for slot in (-2, -1):
            item = longer.items[:, slot]
            recall = self._advance(recall, item, longer.feedback[:, slot], item != ITEMS)
        np.testing.assert_allclose(recall.features, self._begin(longer).features, CLOSE, CLOSE)

    def test_an_interaction_that_entered_changes_the_features_and_no_other_does(self) -> None:
        """`appended` decides, in all that is carried."""
        recall, entered = self._begin(_histories(2)), np.arange(USERS) % 2 == 0
        after = self._advance(recall, *_interactions(0), jnp.asarray(entered))
        for before, now in zip(jax.tree.leaves(recall), jax.tree.leaves(after), strict=True):
            np.testing.assert_allclose(now[~entered], before[~entered], CLOSE, CLOSE)
        moved = np.abs(np.asarray(after.features - recall.features)).max(axis=1)
        assert moved[entered].min() > 1e-3, (
            "an interaction that entered the history left the features as they were"
        )

    def test_feedback_is_read(self) -> None:
        """The same items with other feedback give other features."""
        recall, (item, feedback) = self._begin(_histories(3)), _interactions(1)
        all_enter = jnp.ones(USERS, bool)
        liked, disliked = (
            self._advance(recall, item, grade, all_enter).features for grade in (feedback, 1.0 - feedback)
        )
        assert np.abs(np.asarray(liked - disliked)).max(axis=1).min() > 1e-3, "feedback changes no feature"

    def test_a_batch_equals_its_rows(self) -> None:
        """Users do not see each other."""
        known, (item, feedback) = _histories(4), _interactions(2)
        together = self._advance(self._begin(known), item, feedback, jnp.ones(USERS, bool))
        for user in range(USERS):
            row = slice(user, user + 1)
            recall = self._begin(jax.tree.map(lambda leaf, row=row: leaf[row], known))
            alone = self._advance(recall, item[row], feedback[row], jnp.ones(1, bool))
            np.testing.assert_allclose(alone.features, together.features[row], CLOSE, CLOSE)

    def test_the_items_numbers_mean_nothing(self) -> None:
        """With items renamed and their embeddings moved along, the features stay."""
        order = np.random.default_rng(0).permutation(ITEMS)  # new item i is old item order[i]
        name = jnp.asarray(np.append(np.argsort(order), ITEMS), jnp.int32)
        known, (item, feedback) = _histories(5), _interactions(3)
        moved = {**self.params, "items": self.params["items"][order]}
        renamed = known.replace(items=name[known.items])  # type: ignore[attr-defined]
        all_enter = jnp.ones(USERS, bool)
        plain = self._advance(self._begin(known), item, feedback, all_enter)
        other = self._advance(self._begin(renamed, moved), name[item], feedback, all_enter, moved)
        np.testing.assert_allclose(other.features, plain.features, CLOSE, CLOSE)

    def test_values_and_gradients_are_finite_in_sessions_longer_than_what_is_remembered(self) -> None:
        """From empty histories too, and every parameter of the encoder and the embeddings has a gradient."""
        length = self.network.module.config.session_slots + HISTORY + 1
        turns = jax.tree.map(
            lambda *each: jnp.stack(each), *(_interactions(10 + turn) for turn in range(length))
        )

        def total(params: dict) -> Array:
            def step(recall: Recall, interaction: tuple[Array, Array]) -> tuple[Recall, Array]:
                recall = self.network.advance(params, recall, *interaction, jnp.ones(USERS, bool))
                return recall, jnp.sum(recall.features**2)

            return jnp.mean(jax.lax.scan(step, self.network.begin(params, _histories(6)), turns)[1])

        value, gradients = jax.jit(jax.value_and_grad(total))(self.params)
        assert np.isfinite(value), "the features grow without bound"
        read = {"encoder": gradients.get("encoder", {}), "items": gradients["items"]}
        for path, leaf in jax.tree.leaves_with_path(read):
            name = jax.tree_util.keystr(path, simple=True, separator=".")
            assert np.isfinite(leaf).all(), f"the gradient of {name} is not finite"
            assert np.abs(leaf).max() > 0.0, f"no feature depends on {name}"

    def test_what_is_carried_gives_the_features_again(self) -> None:
        """Encoders that say they reread do: features are a function of what is carried."""
        if not ENCODERS[self.encoder].rereads:
            return
        recall = self._advance(self._begin(_histories(7)), *_interactions(4), jnp.ones(USERS, bool))
        again = jax.jit(self.network.reread)(self.params, recall.carried)
        np.testing.assert_allclose(again.features, recall.features, CLOSE, CLOSE)

    def _begin(self, known: Observation, params: dict | None = None) -> Recall:
        return jax.jit(self.network.begin)(params or self.params, known)  # type: ignore[no-any-return]

    def _advance(
        self,
        recall: Recall,
        item: Int[Array, "B"],
        feedback: Float[Array, "B"],
        appended: Bool[Array, "B"],
        params: dict | None = None,
    ) -> Recall:
        return jax.jit(self.network.advance)(params or self.params, recall, item, feedback, appended)  # type: ignore[no-any-return]


def _histories(seed: int, longest: int = HISTORY) -> Observation:
    """Histories of every length from none to the longest, padded on the left."""
    generator = np.random.default_rng(seed)
    filled = np.linspace(0, longest, USERS).astype(int)
    present = np.arange(HISTORY) >= HISTORY - filled[:, None]
    items = np.where(present, generator.integers(0, ITEMS, (USERS, HISTORY)), ITEMS)
    feedback = np.where(present, generator.uniform(0.0, 1.0, (USERS, HISTORY)), 0.0)
    return Observation(jnp.asarray(items, jnp.int32), jnp.asarray(feedback, jnp.float32))


def _interactions(seed: int) -> tuple[Int[Array, "B"], Float[Array, "B"]]:
    """An item and its feedback for every user."""
    generator = np.random.default_rng(seed)
    items = jnp.asarray(generator.integers(0, ITEMS, USERS), jnp.int32)
    return items, jnp.asarray(generator.uniform(0.6, 1.0, USERS), jnp.float32)
