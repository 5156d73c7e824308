"""Learners of one linear model of the feedback for all items: what is known of its weights, from the logs and online."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Int

from ialp_jax.methods.base import Data
from ialp_jax.methods.learners.serving import ServingLearner
from ialp_jax.policies.actor import Flag
from ialp_jax.recommenders.calibration import answers
from ialp_jax.recommenders.fold_in import OfflineFactors
from ialp_jax.recommenders.pair_features import item_features, lift
from ialp_jax.recommenders.regression import Evidence, observed, prior
from ialp_jax.serving.rollout import Serving
from ialp_jax.serving.sessions import Actor, Transition
from ialp_jax.serving.shares import average, total


@struct.dataclass
class LinearState:
    """What changes while it serves."""

    evidence: Evidence
    serving: Serving


@dataclass(frozen=True)
class LinearFeedbackLearner(ServingLearner):
    """Base of learners that differ in how they choose; `config` says whether they start from recorded sessions.

    `hyper` has `prior_variance` and `noise_variance`.
    """

    config: bool = True

    def beforehand(self, hyper: Any, data: Data) -> Evidence:
        """The prior, or what recorded sessions answered beside it."""
        evidence = prior(jnp.zeros(2 * data.fitted.item.shape[1] + 3), hyper.prior_variance)
        if not self.config:
            return evidence
        assert data.logged is not None
        given = answers(data.fitted, data.logged)
        return evidence.and_also(
            answered(data.fitted, given.taste, given.item, given.feedback, hyper.noise_variance)
        )

    def taste(self, transitions: Transition) -> Float[Array, "T B k"]:
        """The users' tastes, by which a rollout was served: here all that its actor kept."""
        kept: Any = transitions.extras
        return kept

    def actor(self, run: Any, hyper: Any, data: Data, greedy: Flag = False) -> Actor:
        """The policy that serves."""
        raise NotImplementedError

    def told(self, transitions: Transition) -> dict[str, Array]:
        """Metrics of a rollout beside its reward: here none."""
        del transitions
        return {}

    def update(self, run: Any, hyper: Any, data: Data) -> tuple[Any, dict[str, Array]]:
        """Serves `rollout` turns to every user, then learns from the answers to what was recommended."""
        served = self.serve(run.serving, self.actor(run, hyper, data.hidden()), data)
        now, taste = served.transitions, self.taste(served.transitions)
        rows = taste.reshape(-1, taste.shape[-1]), now.action.ravel(), now.feedback.ravel()
        evidence = run.evidence.and_also(total(answered(data.fitted, *rows, hyper.noise_variance)))
        metrics = average({"reward": jnp.mean(now.reward)} | self.told(now))
        return run.replace(evidence=evidence, serving=served.serving), metrics

    def product(self, run: Any) -> Evidence:
        """What is known of the weights."""
        evidence: Evidence = run.evidence
        return evidence


def answered(
    factors: OfflineFactors,
    taste: Float[Array, "R k"],
    item: Int[Array, "R"],
    feedback: Float[Array, "R"],
    noise_variance: Float[Array, ""] | float,
) -> Evidence:
    """What R answers say of the weights."""
    features = jax.vmap(lambda taste, item: lift(taste) @ item)(taste, item_features(factors)[item])
    return observed(features, feedback, noise_variance)
