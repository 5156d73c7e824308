"""A reward model r(s, a) fitted to the judgements, for the items a judge was not asked about.

    r(s, a) = sigmoid(c + b_a + h_s' W x_a + p_s' q_a)

x_a: content vector of the item; h_s: grade-weighted sum of the history's content vectors, scaled to length 1;
the constant c, the biases b_a, W and the factors p_s, q_a are fitted by cross-entropy to the scores with L2
penalties. The settings were chosen on the steam log with the content judge (smooth scores); for a judge that
answers 0 or 1 with noise, a larger `factor_penalty` (0.1 to 1) predicts better.
"""

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ialp_jax.artifacts import InputError
from ialp_jax.preferences.content_vectors import SMALLEST_WEIGHT
from ialp_jax.preferences.quality.ranking import auc_against
from ialp_jax.preferences.table import PreferenceTable
from ialp_jax.ranges import Count, Rate, Weight, between
from ialp_jax.values import checked

CLIP = 1e-6  # predicted probabilities stay this far from 0 and 1 when their log loss is taken


@dataclass(frozen=True)
@checked
class RewardModelConfig:
    """How the reward model is fitted.

    Attributes:
        rank: size of the free factors p and q.
        steps: Adam steps; one step sees all fitted judgements of `batch` states.
        batch: states per step.
        learning_rate: of Adam, at the start of a cosine decay to zero.
        feature_penalty: weight of the sum of W's squares.
        factor_penalty: weight of the mean squares of b, p and q.
        held_out: share of each state's judgements kept for the check, at least one.
    """

    rank: Count = 8
    steps: Count = 300
    batch: Count = 128
    learning_rate: Rate = 0.03
    feature_penalty: Weight = 1e-5
    factor_penalty: Weight = 1e-2
    held_out: Annotated[float, between(0, 1)] = 0.1


@dataclass(frozen=True)
class RewardModelReport:
    """How well the model predicts judgements it was not fitted to.

    An AUC is the mean over states of the AUC against "score above the state's mean score"; log loss is the
    mean cross-entropy to the scores, predictions kept within [CLIP, 1 - CLIP].

    Attributes:
        auc_model: of the reward model (option C).
        auc_zero: of "unjudged = not preferred" (option B), which ties all held-out pairs.
        auc_item_mean: of the mean fitted score of each item, the same for every state.
        log_loss_model: of the reward model.
        log_loss_zero: of option B.
        log_loss_item_mean: of the item means.
        held_out: judgements in the check.
        fitted: judgements the model was fitted to.
    """

    auc_model: float
    auc_zero: float
    auc_item_mean: float
    log_loss_model: float
    log_loss_zero: float
    log_loss_item_mean: float
    held_out: int
    fitted: int


class RewardModel(NamedTuple):
    """Parameters; float32.

    Attributes:
        constant: c.
        item_bias: b, [N].
        interaction: W, [D, D].
        state_factors: p, [S, R].
        item_factors: q, [N, R].
    """

    constant: Float[Array, ""]
    item_bias: Float[Array, " N"]
    interaction: Float[Array, "D D"]
    state_factors: Float[Array, "S R"]
    item_factors: Float[Array, "N R"]


def fit_reward_model(
    table: PreferenceTable,
    history_items: Int[np.ndarray, "S L"],
    history_grades: Float[np.ndarray, "S L"],
    item_vectors: Float[np.ndarray, "N D"],
    config: RewardModelConfig,
    key: PRNGKeyArray,
) -> tuple[Float[np.ndarray, "S N"], RewardModelReport]:
    """Fits the model and fills the table: judged pairs keep their score, the others get the model's.

    Args:
        table: the judgements.
        history_items: history of each state, padded with id N.
        history_grades: its grades.
        item_vectors: content vectors of the items.
        config: how to fit.
        key: for the split, the start and the batches.

    Raises:
        InputError: if the arrays do not fit the table, or no state has two judgements.
    """
    if history_items.shape[0] != table.num_states or item_vectors.shape[0] != table.num_items:
        found = f"{history_items.shape[0]} histories and {item_vectors.shape[0]} item vectors"
        raise InputError(f"{found} for a table of {table.num_states} states and {table.num_items} items",
                         fix="take all three from the same dataset")  # fmt: skip
    split_key, fit_key = jax.random.split(key)
    scores, judged = table.dense()
    held_out = _hold_out(judged, config.held_out, split_key)
    fitted = judged & ~held_out
    if not held_out.any():
        raise InputError(
            "no state has two judgements, so nothing can be held out", fix="judge more candidates"
        )
    profiles = _profiles(history_items, history_grades, item_vectors)
    vectors = jnp.asarray(item_vectors, jnp.float32)
    weights = jnp.asarray(fitted, jnp.float32)
    model = fit(jnp.asarray(scores), weights, profiles, vectors, config, fit_key)
    predicted = np.asarray(predict(model, profiles, vectors))
    report = _report(scores, fitted, held_out, predicted)
    return np.where(judged, scores, predicted), report


@jax.jit
def predict(
    model: RewardModel, profiles: Float[Array, "S D"], item_vectors: Float[Array, "N D"]
) -> Float[Array, "S N"]:
    """r(s, a) of all states and items."""
    return jax.nn.sigmoid(_logits(model, model.state_factors, profiles, item_vectors))


@jax.jit(static_argnames="config")
def fit(
    scores: Float[Array, "S N"],
    weights: Float[Array, "S N"],
    profiles: Float[Array, "S D"],
    item_vectors: Float[Array, "N D"],
    config: RewardModelConfig,
    key: PRNGKeyArray,
) -> RewardModel:
    """Adam on minibatches of states, in one compiled scan; `weights` is 1 for pairs to fit, 0 for others."""
    start_key, batch_key = jax.random.split(key)
    mean = jnp.clip(jnp.sum(scores * weights) / jnp.sum(weights), CLIP, 1 - CLIP)
    # Cross-entropy in units of the mean's own, so that the penalties mean the same for rare and common likes.
    unit = -(mean * jnp.log(mean) + (1 - mean) * jnp.log1p(-mean))
    start = _start(mean, profiles, item_vectors, config.rank, start_key)
    optimiser = optax.adam(optax.cosine_decay_schedule(config.learning_rate, config.steps))
    batch = min(config.batch, scores.shape[0])

    def loss(model: RewardModel, rows: Int[Array, " B"]) -> Float[Array, ""]:
        logits = _logits(model, model.state_factors[rows], profiles[rows], item_vectors)
        entropy = optax.sigmoid_binary_cross_entropy(logits, scores[rows])
        misfit = jnp.sum(entropy * weights[rows]) / jnp.maximum(jnp.sum(weights[rows]), 1)
        factors = jnp.mean(model.state_factors[rows] ** 2) + jnp.mean(model.item_factors**2)
        free = factors + jnp.mean(model.item_bias**2)
        penalty = config.factor_penalty * free + config.feature_penalty * jnp.sum(model.interaction**2)
        return misfit / unit + penalty

    def step(carry, step_key):
        model, state = carry
        rows = jax.random.choice(step_key, scores.shape[0], (batch,), replace=False)
        gradient = jax.grad(loss)(model, rows)
        with jax.numpy_dtype_promotion("standard"):  # optax mixes its int32 step count with floats
            updates, state = optimiser.update(gradient, state)
        return (optax.apply_updates(model, updates), state), None

    (model, _), _ = jax.lax.scan(
        step, (start, optimiser.init(start)), jax.random.split(batch_key, config.steps)
    )
    return model


def _start(
    mean: Float[Array, ""],
    profiles: Float[Array, "S D"],
    item_vectors: Float[Array, "N D"],
    rank: int,
    key: PRNGKeyArray,
) -> RewardModel:
    state_key, item_key = jax.random.split(key)
    dimension = item_vectors.shape[1]
    return RewardModel(
        constant=jnp.log(mean) - jnp.log1p(-mean),
        item_bias=jnp.zeros(item_vectors.shape[0]),
        interaction=jnp.zeros((dimension, dimension)),
        state_factors=0.1 * jax.random.normal(state_key, (profiles.shape[0], rank)),
        item_factors=0.1 * jax.random.normal(item_key, (item_vectors.shape[0], rank)),
    )


def _logits(
    model: RewardModel,
    state_factors: Float[Array, "B R"],
    profiles: Float[Array, "B D"],
    item_vectors: Float[Array, "N D"],
) -> Float[Array, "B N"]:
    content = (profiles @ model.interaction) @ item_vectors.T
    return model.constant + model.item_bias[None, :] + content + state_factors @ model.item_factors.T


def _profiles(items: np.ndarray, grades: np.ndarray, item_vectors: np.ndarray) -> Float[Array, "S D"]:
    """Grade-weighted sum of the history's vectors, of length 1; zero for an empty history."""
    padded = np.vstack([item_vectors, np.zeros_like(item_vectors[:1])])
    weights = np.where(items < len(item_vectors), np.maximum(grades, SMALLEST_WEIGHT), 0)
    total = np.einsum("sl,sld->sd", weights, padded[items])
    return jnp.asarray(total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-9), jnp.float32)


def _hold_out(judged: Bool[np.ndarray, "S N"], share: float, key: PRNGKeyArray) -> Bool[np.ndarray, "S N"]:
    """A random share of each state's judgements, at least one, but never its only one."""
    noise = np.where(judged, np.asarray(jax.random.uniform(key, judged.shape)), np.inf)
    counts = judged.sum(axis=1)
    wanted = np.where(counts >= 2, np.maximum(1, np.round(share * counts)), 0)
    ranks = noise.argsort(axis=1).argsort(axis=1)
    return judged & (ranks < wanted[:, None])


def _report(
    scores: Float[np.ndarray, "S N"],
    fitted: Bool[np.ndarray, "S N"],
    held_out: Bool[np.ndarray, "S N"],
    predicted: Float[np.ndarray, "S N"],
) -> RewardModelReport:
    judged = fitted | held_out
    counts = fitted.sum(axis=0)
    overall = scores[fitted].mean()
    means = np.where(counts > 0, np.where(fitted, scores, 0).sum(axis=0) / np.maximum(counts, 1), overall)
    rivals = {
        "model": predicted,
        "zero": np.zeros_like(scores),
        "item_mean": np.broadcast_to(means, scores.shape),
    }
    liked = judged & (scores > (scores.sum(axis=1) / np.maximum(judged.sum(axis=1), 1))[:, None])
    measured = {}
    for name, rival in rivals.items():
        measured[f"auc_{name}"] = auc_against(rival, held_out, liked).judged
        measured[f"log_loss_{name}"] = _log_loss(scores[held_out], rival[held_out])
    return RewardModelReport(held_out=int(held_out.sum()), fitted=int(fitted.sum()), **measured)


def _log_loss(scores: Float[np.ndarray, " P"], predicted: Float[np.ndarray, " P"]) -> float:
    p = np.clip(predicted.astype(np.float64), CLIP, 1 - CLIP)
    return float(-np.mean(scores * np.log(p) + (1 - scores) * np.log1p(-p)))
