"""The catalogue head alone: this project's, a library's, and the least a softmax can do, on the same logits."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import distrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ialp_jax.bench.measuring.program import Program, Tree
from ialp_jax.bench.settings import Effort, Point, Shape
from ialp_jax.bench.subjects import work
from ialp_jax.policies.catalogue import (
    HeadPlan,
    catalogue_distribution,
    catalogue_logits,
    choose_plan,
    head_statistics,
)
from ialp_jax.worlds.types import limits


@dataclass(frozen=True)
class HeadInputs:
    """Makes random inputs of the head for B rows and N items: queries, embeddings, biases, items that are out."""

    rows: int
    items: int
    width: int
    excluded: int

    def __call__(self, key: PRNGKeyArray) -> dict[str, Array]:
        """The arrays; traceable."""
        keys = jax.random.split(key, 5)
        return {
            "query": jax.random.normal(keys[0], (self.rows, self.width)),
            "items": jax.random.normal(keys[1], (self.items, self.width)) * self.width**-0.5,
            "bias": 0.1 * jax.random.normal(keys[2], (self.items,)),
            "excluded": jax.random.randint(keys[3], (self.rows, self.excluded), 0, self.items),
            "actions": jax.random.randint(keys[4], (self.rows,), 0, self.items),
        }


def acting(point: Point, shape: Shape, effort: Effort) -> Program:
    """Sample, log-probability and entropy of every row."""
    del effort
    plan = plan_of(point, shape)

    def decide(key: PRNGKeyArray, inputs: dict[str, Array]) -> Tree:
        distribution = catalogue_distribution(plan, *_weights(inputs), limits(inputs["excluded"]))
        item = distribution.sample(seed=key)
        return item, distribution.log_prob(item), distribution.entropy()

    return _program(decide, point, shape, passes=1, products=1, plan=str(plan))


def by_distrax(point: Point, shape: Shape, effort: Effort) -> Program:
    """The same by the library's own categorical distribution."""
    del effort

    def decide(key: PRNGKeyArray, inputs: dict[str, Array]) -> Tree:
        distribution = distrax.Categorical(logits=_logits(inputs))
        with jax.numpy_rank_promotion("allow"):  # the library relies on it
            item, log_prob = distribution.sample_and_log_prob(seed=key)
            return item, log_prob, distribution.entropy()

    return _program(decide, point, shape, passes=1, products=1)


def by_logsumexp(point: Point, shape: Shape, effort: Effort) -> Program:
    """Logits and their logsumexp only."""
    del effort

    def decide(key: PRNGKeyArray, inputs: dict[str, Array]) -> Tree:
        del key
        return jax.nn.logsumexp(inputs["query"] @ inputs["items"].T + inputs["bias"][None, :], axis=-1)

    return _program(decide, point, shape, passes=1, products=1)


def learning(point: Point, shape: Shape, effort: Effort) -> Program:
    """Log-probabilities, entropies and all their gradients, from nothing but the inputs."""
    del effort
    plan = plan_of(point, shape)

    def loss(weights: tuple[Array, Array, Array], inputs: dict[str, Array]) -> tuple[Float[Array, ""], Any]:
        log_prob, entropy = head_statistics(plan, *weights, inputs["actions"], limits(inputs["excluded"]))
        return jnp.mean(log_prob) + 0.01 * jnp.mean(entropy), (log_prob, entropy)

    def decide(key: PRNGKeyArray, inputs: dict[str, Array]) -> Tree:
        del key
        return jax.grad(partial(loss, inputs=inputs), has_aux=True)(_weights(inputs))

    return _program(decide, point, shape, passes=2, products=4, plan=str(plan))


def plan_of(point: Point, shape: Shape) -> HeadPlan:
    """The head's implementation at a point."""
    return choose_plan(point.users, point.items, shape.head, shape.matmul)


def _weights(inputs: dict[str, Array]) -> tuple[Array, Array, Array]:
    return inputs["query"], inputs["items"], inputs["bias"]


def _logits(inputs: dict[str, Array]) -> Float[Array, "B N"]:
    return catalogue_logits(*_weights(inputs), limits(inputs["excluded"]))


def _program(
    decide: Callable[[PRNGKeyArray, dict[str, Array]], Tree],
    point: Point,
    shape: Shape,
    passes: int,
    products: int,
    plan: str = "",
) -> Program:
    """One call is one decision of every row; the key is the state, so that no two calls draw the same."""

    def step(key: PRNGKeyArray, inputs: dict[str, Array]) -> tuple[PRNGKeyArray, Tree]:
        following, now = jax.random.split(key)
        return following, decide(now, inputs)

    return Program(
        HeadInputs(point.users, point.items, shape.embedding, shape.excluded),
        lambda key, inputs: key,
        step,
        point.users,
        work.head_work(shape, point.users, point.items, passes, products),
        plan,
    )
