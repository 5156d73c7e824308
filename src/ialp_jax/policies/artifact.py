"""A trained policy as files: parameters, shape, catalogue. Loads without the trainer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array, Float, Int
from scipy.special import log_softmax

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
from ialp_jax.finite import LARGEST, first_broken
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
        """The k most probable items for a user, the lower id first where two are equally probable.

        Args:
            history: item ids, most recent last; only the last `history_length` are read. Never recommended again.
            feedback: in [0, 1] for each of them; 1 if left out.
            k: how many, best first.

        Raises:
            InputError: if an item is no id of the catalogue, feedback does not fit, or k is out of range.
        """
        grades = [1.0] * len(history) if feedback is None else list(feedback)
        num_items = self.items.height
        self._check(history, grades, k)
        read, length = min(len(history), self.history_length), self.history_length
        items, values = np.full(length, num_items, np.int32), np.zeros(length, np.float32)
        if read:
            items[-read:], values[-read:] = list(history)[-read:], grades[-read:]
        excluded = np.asarray([list(history)], np.int32).reshape(1, -1)
        log_probs = self.log_probabilities(items[None], values[None], excluded)[0]
        best = np.argsort(-log_probs, kind="stable")[:k]
        rows = self.items.select("raw_id", "title").rows()
        return [Recommendation(int(i), rows[i][0], rows[i][1], float(np.exp(log_probs[i]))) for i in best]

    def probabilities(
        self,
        items: Int[np.ndarray, "B L"],
        feedback: Float[np.ndarray, "B L"],
        excluded: Int[np.ndarray, "B E"],
    ) -> Float[np.ndarray, "B N"]:
        """Probability that each item is recommended next; arguments and errors as of `log_probabilities`.

        Of a sharp policy all but a few are 0: items are ranked by the logarithms.
        """
        return np.exp(self.log_probabilities(items, feedback, excluded))

    def log_probabilities(
        self,
        items: Int[np.ndarray, "B L"],
        feedback: Float[np.ndarray, "B L"],
        excluded: Int[np.ndarray, "B E"],
    ) -> Float[np.ndarray, "B N"]:
        """Log-probability that each item is recommended next, for many users in one program; -inf for what is excluded.

        Args:
            items: histories of L = `history_length` items, most recent last, filled on the left with N.
            feedback: in [0, 1] for each of them; not read where filled.
            excluded: items that may not be recommended; N is ignored.

        Raises:
            InputError: if an item is no id from 0 to N, a history is not filled on the left, feedback is not in [0, 1],
                or a row excludes every item.
        """
        items, feedback, excluded = np.asarray(items), np.asarray(feedback), np.asarray(excluded)
        num_items = self.items.height
        check_histories(items, feedback, excluded, num_items, self.history_length)
        read = (
            jnp.asarray(items, jnp.int32),
            jnp.asarray(np.where(items < num_items, feedback, 0.0), jnp.float32),
        )
        logits = np.asarray(_logits(self.network, self.params, *read), np.float64)
        permitted = np.ones((len(items), num_items + 1), bool)  # the last column is of N, which is no item
        np.put_along_axis(permitted, excluded.astype(np.int64), False, axis=1)
        permitted = permitted[:, :num_items]
        if not permitted.any(axis=1).all():
            raise InputError(f"row {int(np.argmin(permitted.any(axis=1)))} excludes every item of the catalogue",
                             column="excluded", fix="leave at least one item that may be recommended")  # fmt: skip
        return log_softmax(np.where(permitted, logits, -np.inf), axis=1)

    def _check(self, history: Sequence[int], feedback: Sequence[float], k: int) -> None:
        num_items = self.items.height
        unknown = [item for item in history if not _whole(item) or not 0 <= item < num_items]
        if unknown:
            raise InputError(f"item {unknown[0]} is not in the catalogue", column="history",
                             fix=f"use ids from 0 to {num_items - 1}, whole numbers")  # fmt: skip
        if len(feedback) != len(history) or not all(
            isinstance(grade, Real) and 0 <= grade <= 1 for grade in feedback
        ):
            raise InputError("feedback must hold one number from 0 to 1 per item of the history", column="feedback",
                             fix="give as many numbers as items")  # fmt: skip
        left = num_items - len({int(item) for item in history})
        if left == 0:
            raise InputError("the history holds every item of the catalogue, so nothing is left to recommend",
                             column="history", fix="leave an item out")  # fmt: skip
        if not _whole(k) or not 1 <= k <= left:
            raise InputError(f"{k} items cannot be recommended", column="k", fix=f"use 1 to {left}")


def _whole(number: Any) -> bool:
    return isinstance(number, Integral) and not isinstance(number, bool)


def check_histories(
    items: np.ndarray, feedback: np.ndarray, excluded: np.ndarray, num_items: int, history_length: int
) -> None:
    """Refuses what `LoadedPolicy.log_probabilities` would answer as if it were something else."""
    for name, ids in (("items", items), ("excluded", excluded)):
        if ids.ndim != 2 or not np.issubdtype(ids.dtype, np.integer):
            raise InputError(f"expected rows of whole numbers, found shape {ids.shape} of {ids.dtype}", column=name,
                             fix="give an array of item ids, a row for each user")  # fmt: skip
        wrong = np.argwhere((ids < 0) | (ids > num_items))
        if wrong.size:
            row, place = map(int, wrong[0])
            raise InputError(f"item {ids[row, place]} of row {row} is not in the catalogue", column=name,
                             fix=f"use ids from 0 to {num_items - 1}, and {num_items} where there is none")  # fmt: skip
    if items.shape[1] != history_length or feedback.shape != items.shape or len(excluded) != len(items):
        raise InputError(f"expected {history_length} items and as much feedback for each user, found shapes {items.shape}, "
                         f"{feedback.shape} and {excluded.shape}", column="items",
                         fix=f"cut histories to the last {history_length} items, or fill them on the left with {num_items}",
                         )  # fmt: skip
    filled = items == num_items
    if (filled[:, 1:] & ~filled[:, :-1]).any():
        raise InputError("a history is filled after an item of its own", column="items",
                         fix=f"fill on the left with {num_items}; the most recent item is last")  # fmt: skip
    if not ((feedback >= 0) & (feedback <= 1) | filled).all():
        raise InputError("feedback must be a number from 0 to 1 for every item", column="feedback",
                         fix="scale what users answered to [0, 1]")  # fmt: skip


@jax.jit(static_argnums=0)
def _logits(
    network: Network, params: dict[str, Any], items: Int[Array, "B L"], feedback: Float[Array, "B L"]
) -> Float[Array, "B N"]:
    recall = network.begin(params, Observation(items, feedback))
    query = network.query(params, recall.features)
    matmul = network.module.config.matmul  # the policy that was trained has the logits of rounded factors
    nothing = limits(jnp.zeros((items.shape[0], 0), jnp.int32))
    return catalogue_logits(query, *network.catalogue(params), nothing, matmul)


def save_policy(
    directory: Path,
    params: dict[str, Any],
    config: PolicyConfig,
    items: pl.DataFrame,
    history_length: int,
    statements: list[str],
) -> None:
    """Writes a policy as plain arrays, a parquet catalogue and a manifest, atomically.

    Raises:
        InputError: if a parameter is not finite; nothing is written then.
    """
    arrays = {"/".join(path): np.asarray(value) for path, value in flatten_dict(params).items()}
    _refuse_broken(arrays, directory, "train it with a smaller step size")
    with atomic_path(directory) as temporary:
        temporary.mkdir()
        write_arrays(temporary / "params.npz", arrays)
        items.select("item", "raw_id", "title").write_parquet(temporary / "items.parquet")
        record = {"policy": plain(config), "history_length": history_length}
        write_manifest(temporary, KIND, record, statements=statements)


def load_policy(directory: Path) -> LoadedPolicy:
    """Reads a policy that `save_policy` wrote.

    Raises:
        InputError: if a file is missing, altered, of another kind, or of another version's network, or if the policy
            diverged in training.
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
    _refuse_broken(arrays, directory / "params.npz", "train the policy again, with a smaller step size")
    return LoadedPolicy(network, params, items, manifest.config["history_length"], manifest.statements)


def _refuse_broken(arrays: Mapping[str, np.ndarray], file: Path, fix: str) -> None:
    broken = first_broken(arrays)
    if broken is not None:
        raise InputError(f"the policy diverged: its parameters hold NaN or numbers beyond {LARGEST:g}", file=file,
                         column=broken, fix=fix)  # fmt: skip
