"""SA2C: SNQN, then its next-item prediction weighted by how much better than others the logged item is; frozen online."""

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, PRNGKeyArray

from ialp_jax.learning.experience import Experience
from ialp_jax.learning.logged import LoggedSessions
from ialp_jax.methods.base import Card, Common, Data, Rival, Stage
from ialp_jax.methods.families import OFFLINE
from ialp_jax.methods.learners.offline import OfflineState
from ialp_jax.methods.learners.two_heads import (
    CopiesConfig,
    Read,
    TwoHeadConfig,
    TwoHeadHyper,
    TwoHeadLearner,
    TwoHeads,
    learnt_stage,
    served_stage,
)
from ialp_jax.methods.options import Flat
from ialp_jax.methods.registry import register
from ialp_jax.ranges import Rate, Weight
from ialp_jax.values import checked

MOST_ADVANTAGE = 10.0
RATIOS = 0.1, 10.0
"""Between which pi / mu is held."""


@struct.dataclass
class SA2CNumbers:
    """Numbers of the second phase; those of SNQN hold in it too, but for the step size."""

    learning_rate: Rate = 2e-4
    """Step size of Adam."""
    smooth: Weight = 0.0
    """Power of pi(a|s) / mu(a|s) in the weights; 0 leaves it out."""


@struct.dataclass
class SA2CHyper(TwoHeadHyper):
    """All numbers that a step of the second phase reads."""

    smooth: Weight = 0.0
    """Power of pi(a|s) / mu(a|s) in the weights."""


def imitation_weight(
    seen: Read, log_behaviour: Float[Array, "R"], smooth: Float[Array, ""] | float
) -> Float[Array, "R"]:
    """clip(A, 0, 10) clip(pi / mu, .1, 10)^smooth, A = Q(s, a) - mean of Q over a and the negatives (arXiv 2111.03474).

    Args:
        seen: what one copy says of rows [R].
        log_behaviour: log mu of the logged items.
        smooth: 0 or more.
    """
    mean = (seen.action_value + jnp.sum(seen.others, axis=0)) / (1 + seen.others.shape[0])
    advantage = jnp.clip(seen.action_value - mean, 0.0, MOST_ADVANTAGE)
    log_ratio = jnp.clip(seen.log_prob - log_behaviour, *jnp.log(jnp.asarray(RATIOS)))
    return advantage * jnp.exp(smooth * log_ratio)


def log_popularity(logged: LoggedSessions, num_items: int) -> Float[Array, "N"]:
    """log of every item's share of the logged turns; where it never occurs, which no row reads, as if it had once."""
    items = logged.action[logged.turns[:, 0], logged.turns[:, 1]]
    return jnp.log(jnp.maximum(jnp.zeros(num_items).at[items].add(1.0), 1.0) / items.shape[0])


class SA2CLearner(TwoHeadLearner):
    """SNQN's gradient steps with weighted imitation, from what SNQN has learnt."""

    def init(self, key: PRNGKeyArray, hyper: Any, data: Data, start: tuple[TwoHeads]) -> OfflineState:  # type: ignore[override]
        """Goes on from both of SNQN's copies, with untouched states of Adam."""
        del hyper
        return self.begin(key, start[0], data)

    def behaviour(self, data: Data) -> Any:
        """log mu by item: its popularity; nothing where rows have recorded propensities."""
        assert data.logged is not None
        return () if data.logged.exact else log_popularity(data.logged, self.scene.num_items)

    def weight(self, seen: Read, rows: Experience, behaviour: Any, hyper: SA2CHyper) -> Float[Array, "R"]:
        """`imitation_weight`."""
        known = isinstance(behaviour, tuple)
        log_behaviour = rows.log_propensity if known else behaviour[rows.action]
        return imitation_weight(seen, log_behaviour, hyper.smooth)


@register("sa2c")
@dataclass(frozen=True)
@checked
class SA2C:
    """Supervised advantage actor-critic on logged sessions, then frozen.

    The first phase is the gradient steps of `snqn`, by its options, and the two share it where both are trained; what is
    decided there is decided here. In the second both copies go on, Q by the same loss. Decided here: mu is the recorded
    propensity where the logs have one, else the item's share of the logged turns; Adam starts anew; the step size is a fifth of
    the first phase's, as published (.001 after .005); the two phases are equally long (the published first one has 15,000 steps).
    """

    config: Annotated[CopiesConfig, Flat] = CopiesConfig()
    """Gradient steps of the second phase."""
    hyper: Annotated[SA2CNumbers, Flat] = field(default_factory=SA2CNumbers)
    """Its numbers."""

    card: ClassVar[Card] = Card(
        "SA2C", "next item of the logs, weighted by its advantage over negatives, frozen online", OFFLINE, learns_online=False,
        paper="Xin et al. 2022, arXiv 2111.03474",
        rivals=(
            Rival("bc", "mean_reward", "Does SA2C earn more than next-item prediction alone?"),
            Rival("snqn", "mean_reward", "Do advantages as weights earn more than SNQN?"),
            Rival("iql", "initial_reward", "Does SA2C start above IQL?"),
        ),
    )  # fmt: skip
    builds_on: ClassVar[tuple[str, ...]] = ("snqn",)

    def stages(self, study: Common) -> tuple[Stage, ...]:
        """SNQN's gradient steps, those with weights, then the policy as it is."""
        first = study.method("snqn")
        now, before = self.hyper, first.hyper
        hyper = SA2CHyper(
            now.learning_rate, before.discount, before.value_weight, before.liked, before.gradient_norm, now.smooth
        )  # fmt: skip
        config = TwoHeadConfig(self.config.updates, self.config.batch, first.config.negatives)
        learnt = learnt_stage("SA2C offline", config, hyper, first.source, first.learning(), SA2CLearner)
        return learnt.before[0], learnt, served_stage("sa2c", learnt)
