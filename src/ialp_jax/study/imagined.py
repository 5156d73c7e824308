"""What a preference table says, as stages read it: the LLM's world, and the scores of every user."""

import dataclasses
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from ialp_jax.data.dataset import Dataset, histories
from ialp_jax.preferences.completion.completion import LabelRule, labels
from ialp_jax.preferences.completion.transfer import transfer_scores
from ialp_jax.preferences.content_vectors import tfidf
from ialp_jax.preferences.states import documents, of_users, user_states
from ialp_jax.worlds.fit.points import sampled_distances
from ialp_jax.worlds.preference_world import preference_world
from ialp_jax.worlds.world import World

if TYPE_CHECKING:
    from ialp_jax.study.inputs import Inputs


def imagined(inputs: "Inputs") -> World:
    """The completed table as a world."""
    chosen, world, table = inputs.config.preferences, inputs.world, inputs.table
    completed = inputs.completed
    rewards = labels(
        completed, LabelRule(chosen.reward, chosen.fraction, chosen.threshold, chosen.count_history)
    )
    items, feedback, _ = histories(inputs.dataset, inputs.config.data.history_length)
    distances = sampled_distances(inputs.text_vectors, inputs.config.fit.seed)
    threshold = float(np.percentile(distances, chosen.distance_percentile))
    departure = dataclasses.replace(
        world.departure,
        distance_threshold=jnp.float32(threshold),
        # Preferences lie in [0, 1]; a floor on the users' raw scale would make every imagined user leave at once.
        rating_floor=world.feedback(world.departure.rating_floor),
    )
    return preference_world(
        rewards, items[table.users], feedback[table.users], inputs.text_vectors, np.asarray(world.item_categories), departure,
        completed.judged if completed.option == "candidates" else None,
    )  # fmt: skip


def scores_of_all(
    dataset: Dataset, scores: Float[np.ndarray, "S N"], judged_users: Int[np.ndarray, "S"], neighbours: int
) -> Float[np.ndarray, "U N"]:
    """What the table says about every user: those it has no row for read their nearest judged neighbours'."""
    everyone, vectors = (
        np.zeros((dataset.num_users, dataset.num_items), np.float32),
        tfidf(documents(dataset)),
    )
    offline = user_states(dataset)
    judged = of_users(offline, judged_users)
    everyone[judged.users] = scores
    unjudged = of_users(offline, np.setdiff1d(offline.users, judged.users))
    for new in (unjudged, user_states(dataset, "online")):
        if new.users.size:
            everyone[new.users] = transfer_scores(scores, judged, new, vectors, neighbours)
    return everyone
