"""The small invented worlds that a method is tried in, and what its stages read there, made once per process."""

import tempfile
from dataclasses import fields, is_dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool
from rich.console import Console

from ialp_jax.data.build import DataConfig
from ialp_jax.data.dataset import Dataset
from ialp_jax.data.synthetic import SyntheticConfig
from ialp_jax.environments import Environment
from ialp_jax.methods.learners.feedback import FeedbackConfig
from ialp_jax.methods.registry import default_names
from ialp_jax.policies.config import PolicyConfig
from ialp_jax.recommenders.factors import FactorsConfig
from ialp_jax.serving.stream import Stream
from ialp_jax.study.config import EvaluationConfig, StudyConfig
from ialp_jax.study.decision import concrete
from ialp_jax.study.factors import LikenessConfig
from ialp_jax.study.inputs import Inputs
from ialp_jax.training.loop import LoopConfig
from ialp_jax.worlds.simulator import SimulatorConfig
from ialp_jax.worlds.world import DenseRatings, World

CHUNK = 2
TINY_FACTORS = 0.1
"""Penalty of factorisations here: at its default the few users' logs have no factors but zero."""
TINY_KEPT = 256
"""Run states that are saved again and again are no place for decisions that so few users never make."""
TINY_LIKENESS = 30.0
"""What is kept apart here: too few users are served for it to be read off."""
STREAM = Stream(users=8, rollout=4, updates=4 * CHUNK, pool=4, bins=4)
# No size of the network or the stream is the number of items: what has one entry per item is known by its size.
SMALL = Environment(
    "fifty invented users, repeats masked",
    synthetic=SyntheticConfig(num_users=50, num_items=60, mean_interactions=12.0),
    data=DataConfig(k_core=2, history_length=4),
    simulator=SimulatorConfig(turn_cap=4),
)
FEW_ITEMS = Environment(
    "a dozen items that may be repeated, and users who stay",
    synthetic=SyntheticConfig(num_users=40, num_items=12, mean_interactions=5.0),
    data=DataConfig(k_core=2, history_length=2),
    simulator=SimulatorConfig(turn_cap=4, rules=(), repeats="allowed"),
)


def tiny_config(methods: tuple[str, ...], environment: Environment, online: Stream = STREAM) -> StudyConfig:
    """A study of these methods in one of these worlds; options are at their defaults, but for the sizes and `TINY_*`."""
    config = StudyConfig(
        seeds=1, methods=methods, data=environment.data, simulator=environment.simulator, fit=environment.fit,
        policy=PolicyConfig(embedding=4, hidden=4), pretrain=STREAM, online=online,
        likeness=LikenessConfig(percentile=TINY_LIKENESS),
        evaluation=EvaluationConfig(sessions=32, fixed_share=1.0), loop=LoopConfig(chunk=CHUNK, checkpoint_seconds=1e6),
    )  # fmt: skip
    return concrete(_sized(config))  # nothing is decided here: what auto stands for is what the logs say


def _sized(group: Any) -> Any:
    """A group of options in which factorisations have the penalty of `TINY_FACTORS` and `TINY_KEPT` decisions are kept."""
    if isinstance(group, FactorsConfig):
        return replace(group, regularisation=TINY_FACTORS)
    if isinstance(group, FeedbackConfig):
        return replace(group, kept_decisions=TINY_KEPT)
    if not is_dataclass(group) or isinstance(group, type):
        return group
    inner = {field.name: getattr(group, field.name) for field in fields(group) if field.init}
    changed = {name: _sized(value) for name, value in inner.items()}
    return replace(group, **{name: value for name, value in changed.items() if value is not inner[name]})


class PayingInputs(Inputs):
    """Inputs whose users are paid for every third item alike, whatever their logs and the judge say of it."""

    @property
    def world(self) -> World:
        """The same users; `paying_items` pay the highest rating, all others the lowest, without noise."""
        world = super().world
        row = jnp.where(jnp.asarray(paying_items(world.num_items)), world.rating_high, world.rating_low)
        ratings = DenseRatings(jnp.tile(row, (world.initial_items.shape[0], 1)))
        return world.replace(ratings=ratings, rating_noise=jnp.float32(0.0))  # type: ignore[attr-defined, no-any-return]


@lru_cache(maxsize=1)
def small_inputs() -> Inputs:
    """What the stages of any method read in the world `SMALL`, each made when first asked for."""
    return Inputs(*_settings_of(SMALL))


@lru_cache(maxsize=1)
def paying_inputs() -> Inputs:
    """What they read in the world `FEW_ITEMS`, where every third item pays."""
    return PayingInputs(*_settings_of(FEW_ITEMS))


def _settings_of(environment: Environment) -> tuple[Dataset, StudyConfig, Path, Console]:
    dataset = environment.dataset(None, environment.data, "tiny")
    folder = Path(_place().name) / dataset.fingerprint[:8]
    return dataset, tiny_config(default_names(), environment), folder, Console(quiet=True)


@lru_cache(maxsize=1)
def _place() -> tempfile.TemporaryDirectory[str]:
    """Where the inputs' files lie while this process lives."""
    return tempfile.TemporaryDirectory(prefix="ialp-testing-")


def paying_items(num_items: int) -> Bool[np.ndarray, "N"]:
    """Which items pay in the world of `PayingInputs`."""
    return np.arange(num_items) % 3 == 0
