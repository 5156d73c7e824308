"""Actor-critic over a catalogue: shared item embeddings, a sequence encoder, a policy head, V and a per-action Q."""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from ialp_jax.policies.catalogue import HeadPlan, choose_plan
from ialp_jax.policies.config import PolicyConfig
from ialp_jax.policies.encoders import ENCODERS, KEPT, Recall, RereadingEncoder
from ialp_jax.worlds.types import Observation


class ActorCritic(nn.Module):
    """Policy pi(a|s) = softmax(<W h, e_a> + b_a), value V(s), action value Q(s,a) = V(s) + <U h, e_a>.

    Q needs no sum over the catalogue, so evaluating it at one item costs one inner product.
    """

    num_items: int
    config: PolicyConfig

    def setup(self) -> None:
        """Creates the parameters."""
        config = self.config
        scale = nn.initializers.normal(config.embedding**-0.5)
        # Not orthogonal: its QR, vmapped over seeds, can deadlock on two cores (docs/performance.md).
        small = nn.initializers.variance_scaling(0.1**2, "fan_in", "normal")
        self.items = self.param("items", scale, (self.num_items, config.embedding))
        self.bias = self.param("bias", nn.initializers.zeros, (self.num_items,))
        self.encoder = ENCODERS[config.encoder](self.num_items, config)
        self.query_head = nn.Dense(config.embedding, kernel_init=small)
        self.value_hidden = nn.Dense(config.hidden)
        self.value_out = nn.Dense(1, kernel_init=small)
        self.advantage_head = nn.Dense(config.embedding, kernel_init=nn.initializers.zeros)

    def __call__(self, observation: Observation) -> tuple[Array, ...]:
        """Touches every parameter; only for initialisation."""
        recall = self.begin(observation)
        recall = self.advance(recall, observation.items[-1], observation.feedback[-1], jnp.bool_(True))
        return (*self.policy(recall.features), self.value(recall.features),
                self.action_value(recall.features, observation.items[-1]))  # fmt: skip

    def begin(self, observation: Observation) -> Recall:
        """Recall at the start of a session, from the known history."""
        return self.encoder.begin(observation, self._embed)

    def advance(
        self, recall: Recall, item: Int[Array, ""], feedback: Float[Array, ""], appended: Bool[Array, ""]
    ) -> Recall:
        """Recall after one more interaction; unchanged where it did not enter the history."""
        return self.encoder.advance(recall, item, feedback, appended, self._embed)

    def policy(self, features: Float[Array, "h"]) -> tuple[Float[Array, "e"], Array, Array]:
        """Query, item embeddings and biases: the inputs of the catalogue head."""
        sharpness = self.config.sharpness
        return sharpness * self.query_head(features), self.items, sharpness * self.bias

    def feedback(self, features: Float[Array, "h"], items: Int[Array, "Q"]) -> Float[Array, "Q"]:
        """The feedback that the policy's own scores predict: the items' logits without the sharpness."""
        return self._embed(items) @ self.query_head(features) + self.bias[items]

    def reread(self, carried: Any) -> Recall:
        """Recall of what is carried, computed anew; only of encoders that reread."""
        assert isinstance(self.encoder, RereadingEncoder)
        return self.encoder.reread(carried, self._embed)

    def value(self, features: Float[Array, "h"]) -> Float[Array, ""]:
        """V(s)."""
        return self.value_out(nn.relu(self.value_hidden(features)))[0]

    def action_value(self, features: Float[Array, "h"], item: Int[Array, ""]) -> Float[Array, ""]:
        """Q(s, a)."""
        return self.critics(features, item)[1]

    def critics(
        self, features: Float[Array, "h"], item: Int[Array, ""]
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """V(s) and Q(s, a); V is computed once, forward and backward."""
        value = self.value(features)
        return value, value + self.advantage_head(features) @ self._embed(item)

    def _embed(self, items: Int[Array, "*s"]) -> Float[Array, "*s e"]:
        """Embeddings; the padding item is the zero vector."""
        return self.items.at[items].get(mode="fill", fill_value=0.0)


@dataclass(frozen=True)
class Network:
    """Batched pure functions of an `ActorCritic`: parameters first, users on the leading axis."""

    module: ActorCritic

    def init(self, key: Array, history_length: int, item_vectors: Float[Array, "N e"] | None = None) -> dict:
        """Fresh parameters; item embeddings start at `item_vectors` if given (what the items' texts say)."""
        empty = Observation(
            jnp.full(history_length, self.module.num_items, jnp.int32), jnp.zeros(history_length)
        )
        params = self.module.init(key, empty)["params"]
        return params if item_vectors is None else {**params, "items": item_vectors}

    def begin(self, params: dict, observation: Observation) -> Recall:
        """`ActorCritic.begin` over a batch."""
        return jax.vmap(lambda one: self._apply(params, "begin", one))(observation)

    def advance(self, params: dict, recall: Recall, item: Array, feedback: Array, appended: Array) -> Recall:
        """`ActorCritic.advance` over a batch.

        Of the step of an encoder that recomputes the backward pass finds what is marked `KEPT` and computes the rest again.
        """

        def advance(params: dict, *interaction: Any) -> Recall:
            return jax.vmap(lambda *one: self._apply(params, "advance", *one))(*interaction)

        if ENCODERS[self.module.config.encoder].recomputes:
            policy = jax.checkpoint_policies.save_only_these_names(KEPT)
            advance = jax.checkpoint(advance, policy=policy, prevent_cse=False)
        return advance(params, recall, item, feedback, appended)

    def query(self, params: dict, features: Float[Array, "B h"]) -> Float[Array, "B e"]:
        """Queries of the catalogue head."""
        return jax.vmap(lambda one: self._apply(params, "policy", one)[0])(features)

    def catalogue(self, params: dict) -> tuple[Float[Array, "N e"], Float[Array, "N"]]:
        """Item embeddings and biases."""
        return params["items"], self.module.config.sharpness * params["bias"]

    @property
    def rereads(self) -> bool:
        """Whether features can be computed anew from what is carried."""
        return ENCODERS[self.module.config.encoder].rereads

    def reread(self, params: dict, carried: Any) -> Recall:
        """`ActorCritic.reread` over a batch."""
        return jax.vmap(lambda one: self._apply(params, "reread", one))(carried)

    def feedback(
        self, params: dict, features: Float[Array, "B h"], items: Int[Array, "B Q"]
    ) -> Float[Array, "B Q"]:
        """Predicted feedback of every row at its items, about 0 to 1."""
        return jax.vmap(lambda one, chosen: self._apply(params, "feedback", one, chosen))(features, items)

    def head_plan(self, rows: int) -> HeadPlan:
        """How the catalogue head of this network is computed for `rows` decisions at once."""
        config = self.module.config
        return choose_plan(rows, self.module.num_items, config.head, config.matmul)

    def loss_plan(self, rows: int) -> HeadPlan:
        """How a loss computes it for `rows` decisions at once: in blocks of its own."""
        return replace(self.head_plan(rows), rows=self.module.config.block_rows)

    def value(self, params: dict, features: Float[Array, "B h"]) -> Float[Array, "B"]:
        """V of every row."""
        return jax.vmap(lambda one: self._apply(params, "value", one))(features)

    def action_value(
        self, params: dict, features: Float[Array, "B h"], item: Int[Array, "B"]
    ) -> Float[Array, "B"]:
        """Q of every row at its item."""
        return jax.vmap(lambda one, chosen: self._apply(params, "action_value", one, chosen))(features, item)

    def critics(
        self, params: dict, features: Float[Array, "B h"], item: Int[Array, "B"]
    ) -> tuple[Float[Array, "B"], Float[Array, "B"]]:
        """V of every row, and Q at its item."""
        return jax.vmap(lambda one, chosen: self._apply(params, "critics", one, chosen))(features, item)

    def _apply(self, params: dict, method: str, *arguments):  # type: ignore[no-untyped-def]
        return self.module.apply({"params": params}, *arguments, method=method)
