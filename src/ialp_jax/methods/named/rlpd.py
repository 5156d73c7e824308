"""RL with prior data: Soft Actor-Critic from scratch, half of every batch from logs, an ensemble of normalised critics."""

import operator
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import jax
from flax import struct
from jaxtyping import Array, Float, PRNGKeyArray

from ialp_jax.learning.experience import Experience
from ialp_jax.methods.base import UNTRAINED, Card, Common, Rival, Stage
from ialp_jax.methods.families import OFFLINE
from ialp_jax.methods.learners.lagging import MixedReplayLearner, ReplayConfig
from ialp_jax.methods.learners.soft import (
    Reading,
    SoftHyper,
    SoftLearner,
    features_side_by_side,
    mean_of,
    soft_losses,
    soft_sums,
    stacked,
)
from ialp_jax.methods.needs import Need
from ialp_jax.methods.options import Flat
from ialp_jax.methods.registry import register
from ialp_jax.policies.actor_critic import Network
from ialp_jax.ranges import at_least
from ialp_jax.values import checked
from ialp_jax.worlds.types import Observation

SUBSET = 2
"""Critics, drawn anew for every gradient step, whose lowest is the goal's."""


@struct.dataclass
class RLPDHyper(SoftHyper):
    """Numbers of RL with prior data."""


@dataclass(frozen=True)
@checked
class RLPDConfig(ReplayConfig):
    """What decides the program."""

    critics: Annotated[int, at_least(SUBSET)] = 4
    """Critics, of which the goal takes the lower of two and the policy the mean."""
    layer_norm: bool = True
    """Whether what the critics' heads read of a window has mean 0 and variance 1."""


def normalised_features(
    network: Network, critics: Sequence[dict], window: Observation
) -> list[Float[Array, "R h"]]:
    """The same with mean 0 and variance 1 in every row.

    What a head makes of them is bounded by its weights, whatever the window: what layer normalisation is for in RLPD
    (arXiv 2302.02948, section 4.2). It has no scale and shift of its own: the heads that follow are affine.
    """
    return [jax.nn.standardize(read, axis=-1) for read in features_side_by_side(network, critics, window)]


def drawn_critics(key: PRNGKeyArray, critics: Sequence[dict]) -> list[dict]:
    """`SUBSET` of them, drawn without replacement."""
    places = jax.random.choice(key, len(critics), (SUBSET,), replace=False)
    all_of_them = stacked(critics)
    return [jax.tree.map(operator.itemgetter(place), all_of_them) for place in places]


def rlpd_loss(
    params: dict,
    target: dict,
    network: Network,
    rows: Experience,
    hyper: RLPDHyper,
    key: PRNGKeyArray,
    reading: Reading = normalised_features,
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """RLPD's (Ball et al. 2023, arXiv 2302.02948, algorithm 1) `soft_losses` on rows [R]; (loss, metrics).

    Q^ of the goal is the lowest of `drawn_critics` of the lagging copies, item by item; Q of the policy is the mean of all.
    """
    names = sorted(name for name in params if name.startswith("critic"))
    now, lagging = ([of[name] for name in names] for of in (params, target))
    actor, pair = params["actor"], drawn_critics(key, lagging)
    after = soft_sums(network, actor, pair, rows.window_after(), rows.limits_after(), reading=reading)
    sums = soft_sums(network, actor, now, rows.window, rows.limits, mean_of, reading)
    return soft_losses(params, now, network, rows, hyper, sums, after, reading)


@dataclass(frozen=True)
class RLPDLearner(SoftLearner, MixedReplayLearner):
    """Serves users by its policy, and learns from them and from the logs."""

    config: RLPDConfig = RLPDConfig()

    @property
    def critics(self) -> tuple[str, ...]:
        """As many as the config says."""
        return tuple(f"critic_{place}" for place in range(self.config.critics))

    def loss(
        self, params: dict, target: dict, network: Network, rows: Experience, hyper: Any, key: PRNGKeyArray
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        """`rlpd_loss`; the critics of the goal are drawn from the key."""
        reading = normalised_features if self.config.layer_norm else features_side_by_side
        return rlpd_loss(params, target, network, rows, hyper, key, reading)


@register("rlpd")
@dataclass(frozen=True)
@checked
class RLPD:
    """RL with prior data: Soft Actor-Critic from scratch that has logs from its first step on, and no stage before.

    Decided here, where descriptions differ: four critics instead of ten, which a CPU can bear; their heads read normalised
    features, the one place where the shared network has room for it, and the encoder is as it is; four gradient steps per
    rollout instead of twenty per turn (with eight and lagging copies at half the rate it fell again in a synthetic world); one
    rollout is served by the untrained policy before the first step, instead of 5000 turns; the goal counts entropy. The wanted
    entropy, its temperature, the lagging rate and the shared start of the items' embeddings are as `sac_discrete` has them, so
    that the two differ in what RLPD is.
    """

    source: Literal["recorded", "logs"] = "recorded"
    """Its prior data: a stated logging policy's recorded sessions, or the offline users' own choices."""
    online: RLPDConfig = RLPDConfig()
    """Its gradient steps, its memory and its critics."""
    hyper: Annotated[RLPDHyper, Flat] = field(default_factory=RLPDHyper)
    """Its numbers."""

    card: ClassVar[Card] = Card(
        "RLPD", "Soft Actor-Critic from scratch, half of every batch from logs", OFFLINE, learns_online=True,
        paper="Ball et al. 2023, arXiv 2302.02948",
        curves={"entropy": "entropy of the policy (nats)", "temperature": "what a nat of entropy is worth"},
        rivals=(
            Rival("sac_discrete", "final_reward", "Does having logs end above Soft Actor-Critic without them?"),
            Rival("sac_discrete", "mean_reward", "Does having logs earn more than Soft Actor-Critic overall?"),
            Rival("iql", "mean_reward", "Is learning on logs beforehand needed at all?"),
            Rival("a2c", "final_reward", "Does RLPD end above A2C?"),
        ),
    )  # fmt: skip
    builds_on: ClassVar[tuple[str, ...]] = ()

    def stages(self, study: Common) -> tuple[Stage, ...]:
        """Online learning from untrained parameters, with the logs at hand."""
        del study
        logged = Need.RECORDED if self.source == "recorded" else Need.LOGS
        needs = frozenset({Need.USERS, logged})
        return (Stage("rlpd", RLPDLearner, self.online, self.hyper, needs, (UNTRAINED,)),)
