"""A `World` as named NumPy arrays and back, for `artifacts.write_arrays` and `read_arrays`."""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np

from ialp_jax.artifacts import InputError
from ialp_jax.worlds.world import DenseRatings, Departure, FactorRatings, GradedFactorRatings, Ratings, World

KINDS: dict[str, type] = {"dense": DenseRatings, "factors": FactorRatings, "graded": GradedFactorRatings}
NESTED = ("ratings", "departure")
DERIVED = ("near",)  # from the other arrays, by `near.tabulate_near`: not stored


def world_to_arrays(world: World) -> dict[str, np.ndarray]:
    """Every leaf under its field's name ("ratings.users", "departure.rating_floor") and the kind of ratings.

    The table `near` is left out: make it again where the world is read.

    Raises:
        InputError: if the ratings are of a kind that cannot be stored.
    """
    kind = next((name for name, class_ in KINDS.items() if type(world.ratings) is class_), None)
    if kind is None:
        raise InputError(f"ratings of type {type(world.ratings).__name__} cannot be stored", column="ratings",
                         fix=f"use {', '.join(class_.__name__ for class_ in KINDS.values())}")  # fmt: skip
    arrays = {name: getattr(world, name) for name in _leaves()}
    for group in NESTED:
        part = getattr(world, group)
        arrays |= {f"{group}.{name}": getattr(part, name) for name in _fields(type(part))}
    return {"ratings.kind": np.array(kind), **{name: np.asarray(array) for name, array in arrays.items()}}


def world_from_arrays(arrays: Mapping[str, np.ndarray]) -> World:
    """The world that `world_to_arrays` took apart, without a table `near`.

    Raises:
        InputError: if an array is missing or the kind of ratings is unknown.
    """
    kind = str(_named(arrays, "ratings.kind"))
    if kind not in KINDS:
        raise InputError(
            f"unknown kind of ratings {kind!r}", column="ratings.kind", fix="make the world again"
        )
    ratings: Ratings = _part(arrays, "ratings", KINDS[kind])
    leaves = {name: jnp.asarray(_named(arrays, name)) for name in _leaves()}
    return World(ratings=ratings, departure=_part(arrays, "departure", Departure), **leaves)


def _leaves() -> list[str]:
    return [name for name in _fields(World) if name not in NESTED + DERIVED]


def _fields(class_: type) -> list[str]:
    return list(class_.__dataclass_fields__)  # type: ignore[attr-defined]


def _part(arrays: Mapping[str, np.ndarray], group: str, class_: type):  # type: ignore[no-untyped-def]
    return class_(**{name: jnp.asarray(_named(arrays, f"{group}.{name}")) for name in _fields(class_)})


def _named(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    if name not in arrays:
        raise InputError(
            "the array is missing from the stored world", column=name, fix="make the world again"
        )
    return arrays[name]
