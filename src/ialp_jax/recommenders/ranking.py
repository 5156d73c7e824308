"""Recommenders that score the whole catalogue and show the best permitted item."""

from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import Array, Float, PRNGKeyArray

from ialp_jax.policies.fixed import best_permitted
from ialp_jax.serving.sessions import Actor
from ialp_jax.serving.shares import user_keys
from ialp_jax.worlds.types import Observation, Situation


def _unchanged(recall: Any, *interaction: Array) -> Any:
    del interaction
    return recall


def ranking_actor(
    view: Callable[[Any, Situation], Any],
    scores: Callable[[Any], Float[Array, "B N"]],
    begin: Callable[[Observation], Any] = lambda observation: (),
    advance: Callable[..., Any] = _unchanged,
) -> Actor:
    """Shows every user the permitted item with the highest score; ties are broken uniformly at random.

    Args:
        view: (recall, situation) of B users -> what the scores are made from; kept in the transitions.
        scores: that -> a score of every item.
        begin: what is remembered of users when their sessions open.
        advance: what is remembered after one more interaction; the same if left out.
    """

    def act(keys: PRNGKeyArray, recall: Any, situation: Situation) -> tuple[Array, Any]:
        seen = view(recall, situation)
        return jax.vmap(best_permitted)(keys, scores(seen), situation), seen

    return Actor(begin, advance, act, user_keys)
