"""A causal transformer over whole sessions that is told what is to be earned: its network, and its actor."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import struct
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ialp_jax.artifacts import InputError
from ialp_jax.policies.actor import Flag, greedy_or, item_distribution
from ialp_jax.policies.actor_critic import Network
from ialp_jax.policies.encoders import Recall
from ialp_jax.policies.encoders.attention import attention_block, causal_mask
from ialp_jax.policies.encoders.inputs import interaction_features
from ialp_jax.ranges import Count
from ialp_jax.serving.sessions import Actor
from ialp_jax.values import checked
from ialp_jax.worlds.types import Observation, Situation


@dataclass(frozen=True)
@checked
class TransformerConfig:
    """Shape of the transformer; its width is the shared network's `hidden`."""

    layers: Count = 2
    """Blocks of attention."""
    heads: Count = 2
    """Heads of each; a divisor of the width."""


@struct.dataclass
class Session:
    """Sessions of B users, or of one.

    Attributes:
        known: the history at the start.
        items: recommended in each of L turns; N, or anything, in turns that are not reached.
        feedback: to them, in [0, 1]; 0 where there was none.
        to_go: return from each turn on, in units of the highest that was logged.
    """

    known: Observation
    items: Int[Array, "*B L"]
    feedback: Float[Array, "*B L"]
    to_go: Float[Array, "*B L"]


class SessionTransformer(nn.Module):
    """Causal attention over [known history, return to go 0, interaction 0, return to go 1, interaction 1, ...].

    A turn's decision is read where its return to go stands: it sees that return, those before it, and all earlier items and
    their feedback, never its own item.
    """

    num_items: int
    width: int
    layers: int
    heads: int

    @nn.compact
    def __call__(self, items: Float[Array, "N e"], session: Session) -> Float[Array, "L width"]:
        """Features of every turn of one session."""
        known, turns = session.known, session.items.shape[0]
        interaction, wanted = nn.Dense(self.width), nn.Dense(self.width)

        def read(ids: Int[Array, "T"], feedback: Float[Array, "T"]) -> Float[Array, "T width"]:
            return interaction(
                jax.vmap(interaction_features)(items.at[ids].get(mode="fill", fill_value=0.0), feedback)
            )

        place = nn.initializers.normal(0.02)
        history = read(known.items, known.feedback)
        history = history + self.param("known_position", place, history.shape)
        position = self.param("turn_position", place, (turns, self.width))
        pairs = wanted(session.to_go[:, None]) + position, read(session.items, session.feedback) + position
        stream = jnp.concatenate([history, jnp.stack(pairs, axis=1).reshape(2 * turns, self.width)])
        present = jnp.concatenate([known.items != self.num_items, jnp.ones(2 * turns, bool)])
        visible = causal_mask(present)
        for _ in range(self.layers):
            stream = attention_block(stream, visible, self.heads)
        features: Float[Array, "L width"] = nn.LayerNorm()(stream)[history.shape[0] :: 2]
        return features


@struct.dataclass
class Learnt:
    """What is learnt of logs.

    Attributes:
        params: "items", "bias" and "query_head" as the shared network's head reads them, and "transformer".
        highest: the highest return of a logged session: sum of its feedback.
    """

    params: dict
    highest: Float[Array, ""]


def transformer_of(network: Network, config: TransformerConfig) -> SessionTransformer:
    """The transformer beside a network whose items it shares.

    Raises:
        InputError: if the heads cannot share the width.
    """
    width = network.module.config.hidden
    if width % config.heads:
        raise InputError(f"{config.heads} heads cannot share a width of {width}",
                         column="heads", fix="use a divisor of policy.hidden")  # fmt: skip
    return SessionTransformer(network.module.num_items, width, config.layers, config.heads)


def features_of(model: SessionTransformer, params: dict, sessions: Session) -> Float[Array, "B L width"]:
    """Features of every turn of B sessions."""

    def of_session(session: Session):  # type: ignore[no-untyped-def]
        return model.apply({"params": params["transformer"]}, params["items"], session)

    features: Float[Array, "B L width"] = jax.vmap(of_session)(sessions)
    return features


def left_to_go(
    target: Float[Array, ""] | float, feedback: Float[Array, "*s L"], highest: Float[Array, ""] | float
) -> Float[Array, "*s L"]:
    """What is left of a target before each turn: it falls by the feedback of every turn before, to 0 at the lowest."""
    before = jnp.cumsum(feedback, axis=-1) - feedback
    return jnp.maximum(target - before / highest, 0.0)


@struct.dataclass
class Played:
    """What is remembered of sessions of B users.

    Attributes:
        known: the history at the start.
        items: recommended in each turn so far, N in the others.
        feedback: to them; 0 in the others.
        turn: the turn that comes.
    """

    known: Observation
    items: Int[Array, "B L"]
    feedback: Float[Array, "B L"]
    turn: Int[Array, "B"]


def decision_actor(
    network: Network,
    model: SessionTransformer,
    learnt: Learnt,
    target: Float[Array, ""] | float,
    turns: int,
    greedy: Flag = False,
) -> Actor:
    """The policy that is asked for a return of a session of at most `turns`; it remembers the whole session."""
    no_item = network.module.num_items

    def begin(observation: Observation) -> Played:
        shape = (observation.items.shape[0], turns)
        return Played(observation, jnp.full(shape, no_item), jnp.zeros(shape), jnp.zeros(shape[0], jnp.int32))

    def advance(recall: Played, item: Array, feedback: Array, appended: Array) -> Played:
        del appended  # what does not enter the users' history was recommended all the same

        def put(slots: Array, turn: Array, value: Array) -> Array:
            return slots.at[turn].set(value, mode="drop")

        items, answers = (jax.vmap(put)(slots, recall.turn, value)
                          for slots, value in ((recall.items, item), (recall.feedback, feedback)))  # fmt: skip
        return Played(recall.known, items, answers, recall.turn + 1)

    def act(key: PRNGKeyArray, recall: Played, situation: Situation) -> tuple[Array, tuple[()]]:
        to_go = left_to_go(target, recall.feedback, learnt.highest)
        sessions = Session(recall.known, recall.items, recall.feedback, to_go)
        features = jax.vmap(lambda all_of_them, turn: all_of_them[turn])(
            features_of(model, learnt.params, sessions), recall.turn
        )
        distribution = item_distribution(network, learnt.params, Recall(features), situation)
        return greedy_or(greedy, distribution.mode, distribution.sample(seed=key)), ()

    return Actor(begin, advance, act)
