"""Everything that decides a study, and its two presets."""

import math
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

from ialp_jax.algorithms import a2c, adaptive, ialp
from ialp_jax.artifacts import InputError
from ialp_jax.data.build import DataConfig
from ialp_jax.environments import Environment
from ialp_jax.policies.actor_critic import PolicyConfig
from ialp_jax.preferences.candidates import CandidateConfig
from ialp_jax.preferences.quality.gate import GateConfig
from ialp_jax.ranges import Count, Percentile, PositiveShare, check_ranges
from ialp_jax.study.names import METHODS, PRETRAINED, MethodName
from ialp_jax.training.loop import LoopConfig
from ialp_jax.worlds.fit.config import FitConfig
from ialp_jax.worlds.simulator import SimulatorConfig

Preset = Literal["quick", "full"]


@dataclass(frozen=True)
class PreferenceConfig:
    """From judgements to the rewards of the LLM's world."""

    candidates: CandidateConfig = CandidateConfig()
    """Content judge only: which items each user state is judged on. The seed also shuffles."""
    popularity_prior: bool = True
    """Content judge only: also use how popular an item is in the offline users' logs."""
    unjudged: Literal["auto", "candidates", "zero", "model"] = "auto"
    """Items without a judgement: only candidates may be recommended (A), not preferred (B), a reward model (C)."""
    reward: Literal["selected", "probability"] = "selected"
    """What a recommendation pays in pre-training: 1 for selected items and 0 for others, or the probability."""
    fraction: PositiveShare = 0.05
    """Share of the catalogue that counts as selected for each state."""
    threshold: PositiveShare | None = None
    """If given, selected means a probability of at least this, and `fraction` is not used."""
    shuffle: bool = False
    """Control experiment: give every state the judgements of another user."""
    distance_percentile: Percentile = 5.0
    """Departure threshold in the LLM's world: this percentile of the content distances."""
    neighbours: Count = 20
    """`table_greedy`: judged states averaged for a user without a row in the table."""
    gate: GateConfig = GateConfig()
    """Finished tables (--prefs) only: what a table must reach before anything is trained on it."""

    def check_source(self, finished: bool) -> None:
        """Refuses settings that have no effect on a finished table, or on the content judge's.

        Raises:
            InputError: naming the field.
        """
        default = PreferenceConfig()
        content = {"candidates": replace(default.candidates, seed=self.candidates.seed),
                   "popularity_prior": default.popularity_prior}  # fmt: skip
        idle = content if finished else {"gate": default.gate}
        for name, value in idle.items():
            if getattr(self, name) != value:
                owner = "the content judge" if finished else "a finished table (PREFS, --prefs)"
                raise InputError(f"it only concerns {owner}, which this run does not use",
                                 column=f"preferences.{name}", fix="leave it out")  # fmt: skip


@dataclass(frozen=True)
class EvaluationConfig:
    """How finished policies are compared."""

    sessions: Count = 512
    """Sessions per seed, the same users and noise for every method."""
    fixed_share: PositiveShare = 0.25
    """Policies that never change are measured on this share of the online budget."""


@dataclass(frozen=True)
class StudyConfig:
    """A whole study. `seeds` runs of every method share one compiled program."""

    seeds: Count = 5
    """Paired seeds."""
    methods: tuple[MethodName, ...] = METHODS
    """Which methods are compared; pre-training is left out where none of them needs it."""
    data: DataConfig = DataConfig()
    """From logs to a dataset."""
    simulator: SimulatorConfig = SimulatorConfig()
    """Rules of a session."""
    fit: FitConfig = FitConfig()
    """From a dataset to the users' world."""
    preferences: PreferenceConfig = PreferenceConfig()
    """The LLM's world."""
    policy: PolicyConfig = PolicyConfig()
    """The network, the same for all methods."""
    pretrain: a2c.Config = a2c.Config()
    """iALP pre-training in the LLM's world."""
    pretrain_hyper: ialp.Hyper = field(default_factory=ialp.Hyper)
    """Numbers of pre-training."""
    online: a2c.Config = a2c.Config()
    """Online learning in the users' world, the same budget for all methods."""
    scratch_hyper: a2c.Hyper = field(default_factory=a2c.Hyper)
    """Numbers of A2C from scratch."""
    adapt_hyper: adaptive.Hyper = field(default_factory=adaptive.Hyper)
    """Numbers of the methods that start from a pre-trained policy."""
    mixture_weight: Literal["constant", "annealed", "learnt"] = "annealed"
    """A-iALP_ap mixture: how the pre-trained policy's weight moves."""
    mixture_start: Literal["random", "pretrained"] = "pretrained"
    """A-iALP_ap mixture: where its online policy starts."""
    value_start: Literal["random", "pretrained"] = "pretrained"
    """A-iALP_ap value choice: where its online policy starts."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """Comparison of the finished policies."""
    loop: LoopConfig = LoopConfig()
    """Chunks and checkpoints; updates must be whole chunks."""

    def __post_init__(self) -> None:
        check_ranges(self)
        if not self.methods or len(set(self.methods)) < len(self.methods):
            raise InputError("no method, or one of them twice", column="methods",
                             fix=f"name some of {', '.join(METHODS)}, each once")  # fmt: skip

    @property
    def pretrains(self) -> bool:
        """Whether one of its methods starts from iALP's parameters."""
        return bool(set(self.methods) & set(PRETRAINED))

    def check_chunks(self) -> None:
        """Refuses updates that are not whole chunks, before any work; a preset's own numbers are not known earlier.

        Raises:
            InputError: naming the field.
        """
        chunk = self.loop.chunk
        for name, updates in (("pretrain", self.pretrain.updates), ("online", self.online.updates)):
            if updates % chunk:
                raise InputError(f"{updates} updates are not a multiple of the chunk of {chunk}",
                                 column=f"{name}.updates",
                                 fix=f"use {updates - updates % chunk + chunk} updates, or another loop.chunk",
                                 )  # fmt: skip

    def adaptive(self, reading: Literal["mixture", "value"]) -> adaptive.Config:
        """Static shape of an A-iALP_ap run."""
        return adaptive.Config(**asdict(self.online), reading=reading, weight=self.mixture_weight)

    def fixed(self) -> a2c.Config:
        """Static shape of a run of a policy that does not learn."""
        share = max(1, round(self.online.updates * self.evaluation.fixed_share / self.loop.chunk))
        return replace(self.online, updates=share * self.loop.chunk)


def preset(environment: Environment, name: Preset) -> StudyConfig:
    """The study of an environment at one of two sizes: quick (minutes on two cores) or full."""
    online, pretrain = {"quick": (200_000, 300_000), "full": (2_000_000, 2_000_000)}[name]
    chunk = LoopConfig().chunk
    return StudyConfig(
        data=environment.data,
        simulator=environment.simulator,
        fit=environment.fit,
        pretrain=with_steps(a2c.Config(), pretrain, chunk),
        online=with_steps(a2c.Config(), online, chunk),
        evaluation=EvaluationConfig(sessions=512 if name == "quick" else 2048),
    )


def with_steps(config: a2c.Config, steps: int, chunk: int) -> a2c.Config:
    """The shape with as many updates as reach `steps` simulator steps, rounded up to whole chunks."""
    return replace(config, updates=math.ceil(steps / (config.users * config.rollout * chunk)) * chunk)
