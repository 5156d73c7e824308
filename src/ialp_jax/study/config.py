"""Everything that decides a study, and its two presets."""

import math
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

import tyro

from ialp_jax.artifacts import InputError, Value
from ialp_jax.data.build import DataConfig
from ialp_jax.environments import Environment
from ialp_jax.marks import Only, Since, UsersWorld, Yardstick
from ialp_jax.methods.base import Budget
from ialp_jax.methods.options import options_of
from ialp_jax.methods.registry import Registered, default_names, get, names, resolved, with_foundations
from ialp_jax.policies.config import PolicyConfig
from ialp_jax.preferences.candidates import CandidateConfig
from ialp_jax.preferences.quality.gate import GateConfig
from ialp_jax.ranges import Count, Percentile, PositiveShare, Weight
from ialp_jax.recommenders.factors import FactorsConfig
from ialp_jax.serving.stream import Stream
from ialp_jax.study.factors import LikenessConfig
from ialp_jax.study.fields import apply
from ialp_jax.study.logged import LoggedConfig
from ialp_jax.training.loop import LoopConfig
from ialp_jax.values import check_value, check_values, checked
from ialp_jax.worlds.fit.config import FitConfig
from ialp_jax.worlds.logs_world import Alike, LogsWorldConfig
from ialp_jax.worlds.simulator import SimulatorConfig

Preset = Literal["quick", "full"]


@dataclass(frozen=True)
@checked
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
    fraction: Annotated[PositiveShare, Only("reward", "selected"), Only("threshold", None)] = 0.05
    """Share of the catalogue that counts as selected for each state."""
    threshold: Annotated[PositiveShare | None, Only("reward", "selected")] = None
    """If given, selected means a probability of at least this, and `fraction` is not used."""
    count_history: Annotated[bool, Only("reward", "selected"), Since(True)] = False
    """Whether items of a state's own history count among the selected, which are then fewer: nobody recommends them."""
    shuffle: bool = False
    """Control experiment: give every state the judgements of another user."""
    distance_percentile: Percentile = 5.0
    """Departure threshold in the LLM's world: this percentile of the content distances."""
    logs_half: Annotated[Weight, Since(1.0)] = 1.0
    """Mixed world: a user with so many logged interactions has half of the rewards from the table, half from the logs;
    with n of them the table's share is this / (this + n)."""
    alike: Annotated[Alike, Since("logs")] = "logs"
    """Mixed world: whose distances say how alike items are: the logs', the texts', or both, each in units of its threshold."""
    gate: Annotated[GateConfig, Yardstick("it is whether a table is refused")] = GateConfig()
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
@checked
class PriorConfig:
    """What the preference table says of users that it has no row for."""

    neighbours: Count = 20
    """Judged states averaged for such a user, the nearest ones."""


@dataclass(frozen=True)
@checked
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
    methods: tuple[str, ...] = field(default_factory=default_names)
    """Which methods are compared (`ialp methods` lists them), by name or by a .py file that registers one."""
    data: Annotated[DataConfig, UsersWorld()] = DataConfig()
    """From logs to a dataset."""
    simulator: Annotated[SimulatorConfig, UsersWorld()] = SimulatorConfig()
    """Rules of a session."""
    fit: Annotated[FitConfig, UsersWorld()] = FitConfig()
    """From a dataset to the users' world."""
    preferences: PreferenceConfig = PreferenceConfig()
    """The LLM's world."""
    logs_world: LogsWorldConfig = LogsWorldConfig()
    """The offline logs as a world of users."""
    prior: PriorConfig = PriorConfig()
    """The table as scores of every user and item."""
    logged: LoggedConfig = LoggedConfig()
    """Sessions of offline users, for methods that learn from logs."""
    factors: Annotated[FactorsConfig, Since(FactorsConfig())] = FactorsConfig()
    """What the offline users' logs say of items."""
    likeness: LikenessConfig = LikenessConfig()
    """What is kept apart, for methods that keep items apart."""
    policy: PolicyConfig = PolicyConfig()
    """The network, the same for all methods."""
    pretrain: Stream = Stream()
    """Serving while pre-training: iALP's in the LLM's world."""
    online: Stream = Stream()
    """Serving in the users' world, the same budget for all methods."""
    options: Annotated[Any, tyro.conf.arg(name="methods")] = None
    """Options of the methods that are compared, and of those they build on."""
    evaluation: Annotated[EvaluationConfig, Yardstick("it is how precisely policies are measured")] = (
        EvaluationConfig()
    )
    """Comparison of the finished policies."""
    loop: LoopConfig = LoopConfig()
    """Chunks and checkpoints; updates must be whole chunks."""

    def __post_init__(self) -> None:
        check_value(self.methods, tuple[str, ...], "methods")
        object.__setattr__(self, "methods", resolved(self.methods))
        if not self.methods or len({entry.name for entry in self.entries}) < len(self.methods):
            raise InputError("no method, or one of them twice", column="methods",
                             fix=f"name some of {', '.join(names())}, each once")  # fmt: skip
        object.__setattr__(self, "options", options_of(self.methods, self.options))
        check_values(self)

    @property
    def entries(self) -> list[Registered]:
        """The methods that are compared, as the registry has them."""
        return [get(reference) for reference in self.methods]

    def method(self, name: str) -> Any:
        """The options of a method that is compared, or that one of them builds on."""
        return getattr(self.options, name)

    def stream(self, budget: Budget) -> Stream:
        """How the users of a stage are served."""
        if budget is Budget.PRETRAIN:
            return self.pretrain
        if budget is Budget.ONLINE:
            return self.online
        if budget is Budget.NONE:
            return Stream()  # nobody is served
        share = max(1, round(self.online.updates * self.evaluation.fixed_share / self.loop.chunk))
        return replace(self.online, updates=share * self.loop.chunk)


def preset(environment: Environment, name: Preset, methods: tuple[str, ...] = ()) -> StudyConfig:
    """The study of an environment at one of two sizes: quick (minutes on two cores) or full.

    Args:
        environment: it may ask for other values than the defaults.
        name: of the size.
        methods: that are compared, by name or file; the default ones if empty.

    Raises:
        InputError: if there is no such size, or the environment asks for a recipe that no method has.
    """
    check_value(name, Preset, "preset")
    online, pretrain = {"quick": (200_000, 300_000), "full": (2_000_000, 2_000_000)}[name]
    chunk = LoopConfig().chunk
    config = StudyConfig(
        methods=methods or default_names(),
        data=environment.data,
        simulator=environment.simulator,
        fit=environment.fit,
        pretrain=with_steps(Stream(), pretrain, chunk),
        online=with_steps(Stream(), online, chunk),
        evaluation=EvaluationConfig(sessions=512 if name == "quick" else 2048),
    )
    return apply(config, dict(environment.study) | recipe_changes(environment.recipe, config.methods))


def recipe_changes(recipe: str, methods: tuple[str, ...]) -> dict[str, Value]:
    """The options that a recipe stands for in these methods and those they build on, by dotted name.

    Raises:
        InputError: if no method has a recipe of that name.
    """
    existing = sorted({other for name in names() for other in get(name).options.recipes})
    if recipe and recipe not in existing:
        raise InputError(
            f"no method has a recipe {recipe!r}", column="recipe", fix=f"use one of {', '.join(existing)}"
        )
    return {
        f"methods.{entry.name}.{field}": value
        for entry in with_foundations(methods)
        for field, value in entry.options.recipes.get(recipe, {}).items()
    }


def with_steps(config: Stream, steps: int, chunk: int) -> Stream:
    """The shape with as many updates as reach `steps` simulator steps, rounded up to whole chunks."""
    return replace(config, updates=math.ceil(steps / (config.users * config.rollout * chunk)) * chunk)
