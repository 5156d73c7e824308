"""A density model of users and items that were recorded together, by a conditional entropy bottleneck (Fischer 2020).

Two encoders e(z|x) and b(z|y) of Gaussians read a pair x and a copy y of it, each number times one drawn from U(.99, 1.01):

    L = beta E[log e(z|x) - log b(z|y)] - E[log b(z|y_i) / sum_j b(z|y_j)],    z ~ e(z|x_i)          (arXiv 2310.05723)
    rate(x) = log e(z|x) - log m(z) at the mean of e(z|x), m = N(0, 1)

A pair unlike the recorded ones has a high rate.
"""

from dataclasses import dataclass
from typing import Annotated, Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import struct
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ialp_jax.learning.optimiser import gradient_step, optimiser
from ialp_jax.methods.base import Data
from ialp_jax.methods.learners.offline import OfflineConfig, OfflineLearner, OfflineState
from ialp_jax.policies.actor import Flag
from ialp_jax.policies.fixed import RandomPolicy, fixed_actor
from ialp_jax.ranges import Count, Rate, Weight, within
from ialp_jax.recommenders.calibration import answers
from ialp_jax.recommenders.fold_in import tastes
from ialp_jax.serving.sessions import Actor
from ialp_jax.serving.shares import average, draw, gather
from ialp_jax.values import checked

JITTER = 0.01
"""How far the copy's numbers may be from those of the pair, as a share of them."""
LEAST, MOST = -5.0, 2.0
"""Bounds of the logarithm of a standard deviation."""


@struct.dataclass
class DensityHyper:
    """Numbers of the density model."""

    learning_rate: Rate = 1e-3
    """Step size of Adam."""
    compression: Weight = 0.01
    """beta: what a nat that z says of x beyond y costs."""
    gradient_norm: Rate = 10.0
    """Gradients are scaled down to at most this global norm."""


@dataclass(frozen=True)
@checked
class DensityConfig(OfflineConfig):
    """What decides the program of the density model; `updates` and `batch` are of its own gradient steps."""

    latent: Annotated[int, within(1, 64)] = 8
    """Numbers of z."""
    width: Count = 64
    """Hidden units of each of the encoders' two layers."""


@struct.dataclass
class Gaussian:
    """Independent normal distributions, leading axes [...]."""

    mean: Float[Array, "*s z"]
    log_std: Float[Array, "*s z"]

    def log_prob(self, value: Float[Array, "*t z"]) -> Float[Array, "*t"]:
        """Up to a constant of z / 2 log(2 pi)."""
        error = (value - self.mean) * jnp.exp(-self.log_std)
        return -jnp.sum(self.log_std + 0.5 * error**2, axis=-1)


class Encoder(nn.Module):
    """Two hidden layers and the Gaussian of z."""

    latent: int
    width: int

    @nn.compact
    def __call__(self, inputs: Float[Array, "*s x"]) -> Gaussian:
        """The Gaussian of every row."""
        hidden = nn.relu(nn.Dense(self.width, name="first")(inputs))
        hidden = nn.relu(nn.Dense(self.width, name="second")(hidden))
        log_std = jnp.clip(nn.Dense(self.latent, name="log_std")(hidden), LEAST, MOST)
        return Gaussian(nn.Dense(self.latent, name="mean")(hidden), log_std)


def encoded(encoder: Encoder, params: Any, inputs: Float[Array, "*s x"]) -> Gaussian:
    """The Gaussian of every row."""
    gaussian: Any = encoder.apply({"params": params}, inputs)
    return gaussian  # type: ignore[no-any-return]


@struct.dataclass
class Density:
    """The parameters of both encoders, and how what they read is brought to mean 0 and variance 1."""

    params: dict
    centre: Float[Array, "x"]
    scale: Float[Array, "x"]

    def rate(self, pairs: Float[Array, "*s x"]) -> Float[Array, "*s"]:
        """The rate of pairs as `pair_inputs` gives them."""
        params, lead = self.params["forward"], (1,) * (pairs.ndim - 1)
        encoder = Encoder(params["mean"]["bias"].size, params["first"]["bias"].size)
        inputs = (pairs - self.centre.reshape(*lead, -1)) / self.scale.reshape(*lead, -1)
        return rate(encoded(encoder, params, inputs))


def rate(encoded: Gaussian) -> Float[Array, "*s"]:
    """log e(z|x) - log m(z) at z = mean, m = N(0, 1): the sum of -log std + mean^2 / 2."""
    return jnp.sum(0.5 * encoded.mean**2 - encoded.log_std, axis=-1)


def pair_inputs(
    taste: Float[Array, "R k"], item: Float[Array, "N k"], items: Int[Array, "R w"]
) -> Float[Array, "R w 2*k"]:
    """x of every row's w items: the user's taste beside the item's factors."""
    shape = (*items.shape, taste.shape[1])
    return jnp.concatenate([jnp.broadcast_to(taste[:, None], shape), item[items]], axis=-1)


def bottleneck_loss(
    params: dict, encoder: Encoder, inputs: Float[Array, "B x"], key: PRNGKeyArray, compression: Array | float
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """L of rows of brought inputs, against the copies of all devices' rows; (loss, metrics)."""
    jitter_key, noise_key = jax.random.split(key)
    near = 1.0 + JITTER * (2.0 * draw(jax.random.uniform, jitter_key, inputs.shape) - 1.0)
    forward = encoded(encoder, params["forward"], inputs)
    backward = encoded(encoder, params["backward"], inputs * near)
    noise = draw(jax.random.normal, noise_key, forward.mean.shape)
    sampled = forward.mean + jnp.exp(forward.log_std) * noise
    own = backward.log_prob(sampled)
    others = jax.tree.map(lambda leaf: leaf[None], gather(backward)).log_prob(sampled[:, None])
    residual = jnp.mean(forward.log_prob(sampled) - own)
    told_apart = jnp.mean(own - jax.nn.logsumexp(others, axis=1))
    loss = compression * residual - told_apart
    return loss, {
        "loss": loss,
        "residual": residual,
        "told_apart": told_apart,
        "rate": jnp.mean(rate(forward)),
    }


@struct.dataclass
class DensityState(OfflineState):
    """As any offline learner, and how its inputs are brought to one scale."""

    centre: Float[Array, "x"]
    scale: Float[Array, "x"]


@dataclass(frozen=True)
class DensityLearner(OfflineLearner):
    """Gradient steps on the pairs of recorded sessions."""

    config: DensityConfig = DensityConfig()

    @property
    def encoder(self) -> Encoder:
        """Of both readings."""
        return Encoder(self.config.latent, self.config.width)

    def init(self, key: PRNGKeyArray, hyper: DensityHyper, data: Data, start: tuple[()]) -> DensityState:
        """Fresh encoders."""
        del hyper, start
        assert data.logged is not None
        given, item = answers(data.fitted, data.logged), data.fitted.item
        pairs = pair_inputs(given.taste, item, given.item[:, None])[:, 0]
        run_key, *keys = jax.random.split(key, 3)
        params = {name: self.encoder.init(one, pairs[:1])["params"]
                  for name, one in zip(("forward", "backward"), keys, strict=True)}  # fmt: skip
        centre, scale = jnp.mean(pairs, axis=0), jnp.maximum(jnp.std(pairs, axis=0), 1e-3)
        return DensityState(params, (), optimiser().init(params), run_key, jnp.int32(0), centre, scale)

    def update(
        self, run: DensityState, hyper: DensityHyper, data: Data
    ) -> tuple[DensityState, dict[str, Array]]:
        """One gradient step."""
        assert data.logged is not None
        key, batch_key, loss_key = jax.random.split(run.key, 3)
        numbers = data.logged.numbers(batch_key, self.config.batch)
        session, turn = data.logged.turns[numbers, 0], data.logged.turns[numbers, 1]
        windows = jax.tree.map(lambda leaf: leaf[session, 0], data.logged.window)
        item = data.logged.action[session, turn]
        pairs = pair_inputs(tastes(data.fitted, windows), data.fitted.item, item[:, None])[:, 0]
        inputs = (pairs - run.centre[None]) / run.scale[None]
        slope = jax.grad(bottleneck_loss, has_aux=True)
        gradients, metrics = average(slope(run.params, self.encoder, inputs, loss_key, hyper.compression))
        params, state, told = gradient_step(run.params, run.optimiser, gradients, hyper)
        return DensityState(params, (), state, key, run.update + 1, run.centre, run.scale), metrics | told

    def actor(self, run: Any, hyper: Any, data: Data, greedy: Flag = False) -> Actor:
        """A density is no policy: any permitted item."""
        del run, hyper, data
        return fixed_actor(RandomPolicy(self.scene.num_items), greedy)

    def product(self, run: Any) -> Density:
        """The model."""
        return Density(run.params, run.centre, run.scale)
