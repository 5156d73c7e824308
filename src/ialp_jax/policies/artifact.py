"""A trained policy as files: parameters, shape, catalogue. Loads without the trainer."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
from flax.traverse_util import flatten_dict, unflatten_dict

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
from ialp_jax.data.frames import read_frame
from ialp_jax.finite import LARGEST, first_broken
from ialp_jax.policies.actor_critic import ActorCritic, Network
from ialp_jax.policies.config import PolicyConfig
from ialp_jax.policies.loaded import LoadedPolicy
from ialp_jax.ranges import Count, Weight
from ialp_jax.serving.likeness import LikenessRule
from ialp_jax.values import check_value, made_from, require_fields

KIND = "policy"
LIKENESS = "likeness.npz"
CATALOGUE = {"item": pl.Int32, "raw_id": pl.String, "title": pl.String}
AGAIN = "train the policy again"


def save_policy(
    directory: Path,
    params: dict[str, Any],
    config: PolicyConfig,
    items: pl.DataFrame,
    history_length: int,
    statements: list[str],
    likeness: LikenessRule | None = None,
) -> None:
    """Writes a policy as plain arrays, a parquet catalogue and a manifest, atomically; `likeness` is what it keeps apart.

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
        if likeness is not None:
            write_arrays(temporary / LIKENESS, {"points": np.asarray(likeness.points, np.float32)})
            record["likeness"] = {"threshold": likeness.threshold, "window": likeness.window}
        write_manifest(temporary, KIND, record, statements=statements)


def load_policy(directory: Path) -> LoadedPolicy:
    """Reads a policy that `save_policy` wrote.

    Raises:
        InputError: if a file is missing, altered, of another kind, or of another version's network, or if the policy
            diverged in training.
    """
    manifest, record = read_manifest(directory, KIND), directory / MANIFEST_NAME
    require_fields(manifest.config, {"policy": dict, "history_length": int}, record, AGAIN)
    length = manifest.config["history_length"]
    check_value(length, Count, "history_length", record)
    items = _read_catalogue(directory / "items.parquet")
    arrays = read_arrays(directory / "params.npz")
    network = Network(ActorCritic(items.height, made_from(PolicyConfig, manifest.config["policy"], record)))
    if _described(arrays) != _expected(network, length, record):
        raise InputError("the parameters are not those of this version's network", file=directory / "params.npz",
                         fix=AGAIN)  # fmt: skip
    _refuse_broken(arrays, directory / "params.npz", f"{AGAIN}, with a smaller step size")
    params = unflatten_dict({tuple(name.split("/")): jnp.asarray(value) for name, value in arrays.items()})
    likeness = _likeness_of(directory, manifest.config, items.height)
    return LoadedPolicy(network, params, items, length, manifest.statements, likeness)


def _likeness_of(directory: Path, config: dict[str, Any], num_items: int) -> LikenessRule | None:
    """What a policy keeps apart; None of one that keeps nothing apart, or was written before that was exported."""
    if "likeness" not in config:
        return None
    record, file = directory / MANIFEST_NAME, directory / LIKENESS
    require_fields(config, {"likeness": dict}, record, AGAIN)
    rule = config["likeness"]
    require_fields(rule, {"threshold": float, "window": int}, record, AGAIN)
    check_value(rule["window"], Count, "likeness.window", record)
    check_value(rule["threshold"], Weight, "likeness.threshold", record)
    arrays = read_arrays(file)
    points = arrays.get("points")
    if points is None or points.ndim != 2 or points.dtype != np.float32 or len(points) != num_items:
        raise InputError(f"it holds no points of {num_items} items", file=file, fix=AGAIN)
    _refuse_broken(arrays, file, AGAIN)
    return LikenessRule(points, rule["threshold"], rule["window"])


def _read_catalogue(path: Path) -> pl.DataFrame:
    """The items, whose numbers are those of their rows."""
    items = read_frame(path, CATALOGUE, AGAIN)
    if not items.height or items.null_count().sum_horizontal()[0]:
        raise InputError("the catalogue is empty, or has no text where one belongs", file=path, fix=AGAIN)
    if not items["item"].equals(pl.Series("item", range(items.height), pl.Int32)):
        raise InputError("items are not numbered by their rows", file=path, column="item", fix=AGAIN)
    return items


def _expected(network: Network, length: int, record: Path) -> dict[str, tuple[Any, ...]]:
    """Shape and type of every array of a network, by name; `record` says what it is."""
    try:
        shapes = jax.eval_shape(lambda key: network.init(key, length), jax.random.key(0))
    except (ValueError, TypeError, OverflowError) as error:  # sizes that no array can have
        raise InputError(
            "no network can have these sizes", file=record, column="policy", fix=AGAIN
        ) from error
    return _described({"/".join(path): leaf for path, leaf in flatten_dict(shapes).items()})


def _described(arrays: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    return {name: (array.shape, array.dtype) for name, array in arrays.items()}


def _refuse_broken(arrays: Mapping[str, np.ndarray], file: Path, fix: str) -> None:
    broken = first_broken(arrays)
    if broken is not None:
        raise InputError(f"the policy diverged: its parameters hold NaN or numbers beyond {LARGEST:g}", file=file,
                         column=broken, fix=fix)  # fmt: skip
