"""A trained policy as files: parameters, shape, catalogue. Loads without the trainer."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array, Float, Int

from ialp_jax.artifacts import (
    MANIFEST_NAME,
    InputError,
    atomic_path,
    plain,
    read_arrays,
    read_manifest,
    write_arrays,
    write_manifest,
)
from ialp_jax.policies.actor_critic import ActorCritic, Network
from ialp_jax.policies.catalogue import catalogue_logits
from ialp_jax.policies.config import PolicyConfig
from ialp_jax.values import made_from
from ialp_jax.worlds.types import Observation, limits

KIND = "policy"


@dataclass(frozen=True)
class Recommendation:
    """One recommended item."""

    item: int
    raw_id: str
    title: str
    probability: float


@dataclass(frozen=True)
class LoadedPolicy:
    """A policy ready to recommend.

    Attributes:
        network: its functions.
        params: its parameters.
        items: the catalogue: item, raw_id, title.
        history_length: most interactions of a history it was trained on.
        statements: what it was trained on, in sentences.
    """

    network: Network
    params: dict[str, Any]
    items: pl.DataFrame
    history_length: int
    statements: list[str]

    def recommend(
        self, history: Sequence[int], feedback: Sequence[float] | None = None, k: int = 10
    ) -> list[Recommendation]:
        """The k most probable items for a user.

        Args:
            history: item ids, most recent last; only the last `history_length` are read. Never recommended again.
            feedback: in [0, 1] for each of them; 1 if left out.
            k: how many, best first.

        Raises:
            InputError: if an item is not in the catalogue, feedback does not fit, or k is out of range.
        """
        grades = [1.0] * len(history) if feedback is None else list(feedback)
        num_items = self.items.height
        self._check(history, grades, k)
        read, length = min(len(history), self.history_length), self.history_length
        items, values = np.full(length, num_items, np.int32), np.zeros(length, np.float32)
        if read:
            items[-read:], values[-read:] = list(history)[-read:], grades[-read:]
        excluded = np.asarray([list(history)], np.int32).reshape(1, -1)
        probabilities = self.probabilities(items[None], values[None], excluded)[0]
        best = np.argsort(-probabilities, kind="stable")[:k]
        rows = self.items.select("raw_id", "title").rows()
        return [Recommendation(int(i), rows[i][0], rows[i][1], float(probabilities[i])) for i in best]

    def probabilities(
        self,
        items: Int[np.ndarray, "B L"],
        feedback: Float[np.ndarray, "B L"],
        excluded: Int[np.ndarray, "B E"],
    ) -> Float[np.ndarray, "B N"]:
        """Probability that each item is recommended next, for many users in one program.

        Args:
            items: histories of L = `history_length` items, most recent last, filled on the left with N.
            feedback: in [0, 1] for each of them, 0 where filled.
            excluded: items that may not be recommended; N is ignored.
        """
        given = (jnp.asarray(items, jnp.int32), jnp.asarray(feedback), jnp.asarray(excluded, jnp.int32))
        return np.asarray(_probabilities(self.network, self.params, *given))

    def _check(self, history: Sequence[int], feedback: Sequence[float], k: int) -> None:
        num_items = self.items.height
        unknown = [item for item in history if not 0 <= item < num_items]
        if unknown:
            raise InputError(f"item {unknown[0]} is not in the catalogue", column="history",
                             fix=f"use ids from 0 to {num_items - 1}")  # fmt: skip
        if len(feedback) != len(history) or any(not 0.0 <= value <= 1.0 for value in feedback):
            raise InputError("feedback must hold one number from 0 to 1 per item of the history", column="feedback",
                             fix="give as many numbers as items")  # fmt: skip
        if not 1 <= k <= num_items - len(set(history)):
            raise InputError(f"{k} items cannot be recommended", column="k",
                             fix=f"use 1 to {num_items - len(set(history))}")  # fmt: skip


@jax.jit(static_argnums=0)
def _probabilities(
    network: Network,
    params: dict[str, Any],
    items: Int[Array, "B L"],
    feedback: Float[Array, "B L"],
    excluded: Int[Array, "B E"],
) -> Float[Array, "B N"]:
    recall = network.begin(params, Observation(items, feedback))
    query = network.query(params, recall.features)
    matmul = network.module.config.matmul  # the policy that was trained has the logits of rounded factors
    return jax.nn.softmax(catalogue_logits(query, *network.catalogue(params), limits(excluded), matmul))


def save_policy(
    directory: Path,
    params: dict[str, Any],
    config: PolicyConfig,
    items: pl.DataFrame,
    history_length: int,
    statements: list[str],
) -> None:
    """Writes a policy as plain arrays, a parquet catalogue and a manifest, atomically."""
    with atomic_path(directory) as temporary:
        temporary.mkdir()
        arrays = {"/".join(path): np.asarray(value) for path, value in flatten_dict(params).items()}
        write_arrays(temporary / "params.npz", arrays)
        items.select("item", "raw_id", "title").write_parquet(temporary / "items.parquet")
        record = {"policy": plain(config), "history_length": history_length}
        write_manifest(temporary, KIND, record, statements=statements)


def load_policy(directory: Path) -> LoadedPolicy:
    """Reads a policy that `save_policy` wrote.

    Raises:
        InputError: if a file is missing, altered, of another kind, or of another version's network.
    """
    manifest = read_manifest(directory, KIND)
    items = pl.read_parquet(directory / "items.parquet")
    arrays = read_arrays(directory / "params.npz")
    params = unflatten_dict({tuple(name.split("/")): jnp.asarray(value) for name, value in arrays.items()})
    network = Network(
        ActorCritic(
            items.height, made_from(PolicyConfig, manifest.config["policy"], directory / MANIFEST_NAME)
        )
    )
    length = manifest.config["history_length"]
    expected = jax.eval_shape(lambda key: network.init(key, length), jax.random.key(0))
    if jax.tree.map(jnp.shape, params) != jax.tree.map(jnp.shape, expected):
        raise InputError("the parameters are not those of this version's network",
                         file=directory / "params.npz", fix="train the policy again")  # fmt: skip
    return LoadedPolicy(network, params, items, manifest.config["history_length"], manifest.statements)
