"""What a method is made of: cards, stages, learners, and the data that a program may read.

A method is a frozen dataclass of typed options, registered under its name (`registry.py`), one file each in `named/`. It
names its stages; the last one is measured. Everything else (study, sweeps, command line, report, bench) reads that.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, ClassVar, Literal, Protocol

from flax import struct
from jaxtyping import Array, Float, PRNGKeyArray

from ialp_jax.artifacts import Value
from ialp_jax.data.dataset import Dataset
from ialp_jax.learning.logged import LoggedSessions
from ialp_jax.methods.needs import Need
from ialp_jax.policies.actor import Flag
from ialp_jax.policies.actor_critic import Network
from ialp_jax.policies.config import PolicyConfig
from ialp_jax.serving.likeness import Likeness
from ialp_jax.serving.sessions import AnyActor
from ialp_jax.serving.stream import Stream
from ialp_jax.values import checked
from ialp_jax.worlds.simulator import Simulator
from ialp_jax.worlds.world import World

RunState = Any
Params = Any
Hyper = Any
Metrics = dict[str, Array]
Recipes = Mapping[str, Mapping[str, Value]]
"""Options of a method that go together, by the name that several methods share for it."""


class Budget(Enum):
    """Whose simulator steps a stage spends."""

    ONLINE = "online"
    """The users': the study's online stream."""
    MEASURE = "measure"
    """The users', to measure a policy that does not change: a share of the online stream."""
    PRETRAIN = "pretrain"
    """Those of another world: the study's pre-training stream."""
    NONE = "none"
    """Nobody's: gradient steps on what was logged before."""


@dataclass(frozen=True)
class OfflineFit:
    """Arrays fitted on the host to the logs of the offline users, for `Data.fitted`.

    Attributes:
        fit: (dataset, config) -> arrays, a pytree; it may read offline users only.
        config: hashable numbers of the fit.
    """

    fit: Callable[[Dataset, Any], Any]
    config: Any = ()


@struct.dataclass
class Data:
    """What the program of a stage may read; None where its stage did not ask for it.

    Attributes:
        world: where sessions are served. Actors are handed `Data` without it (`hidden`): no learner sees the truth.
        logged: what offline users did before.
        prior: scores of the preference table for every user and item.
        fitted: what an `OfflineFit` made.
        likeness: what is kept apart when users are served; None for nothing.
    """

    world: World | None = None
    logged: LoggedSessions | None = None
    prior: Float[Array, "U N"] | None = None
    fitted: Any = None
    likeness: Likeness | None = None

    @property
    def users_world(self) -> World:
        """The world of a stage that serves users."""
        assert self.world is not None, "a stage that serves users needs a world"
        return self.world

    def hidden(self) -> "Data":
        """The same without the world: what an actor may know."""
        return self.replace(world=None)  # type: ignore[attr-defined, no-any-return]


@dataclass(frozen=True)
class Scene:
    """Where a learner works: all static.

    Attributes:
        simulator: rules of a session.
        network: the network that all methods share.
        stream: how users are served.
    """

    simulator: Simulator
    network: Network
    stream: Stream

    @property
    def num_items(self) -> int:
        """N, size of the catalogue."""
        return self.network.module.num_items

    def whole_bins(self, updates: int) -> int:
        """Leading bins of the curve whose sessions have all ended after so many updates (`StreamClock.whole_bins`)."""
        return self.stream.clock(self.simulator.config.turn_cap).whole_bins(updates * self.stream.rollout)


class Learner(Hashable, Protocol):
    """A program over one run: frozen and hashable, because equal learners share a compiled program."""

    @property
    def scene(self) -> Scene:
        """Where it works."""

    @property
    def updates(self) -> int:
        """Updates of a whole run."""

    @property
    def steps(self) -> int:
        """Simulator steps of one update; 0 where it serves nobody."""

    def init(self, key: PRNGKeyArray, hyper: Hyper, data: Data, start: tuple[Params, ...]) -> RunState:
        """The state of a run before its first update; `start` holds the products of `Stage.after`."""

    def update(self, run: RunState, hyper: Hyper, data: Data) -> tuple[RunState, Metrics]:
        """One update of one run."""

    def actor(self, run: RunState, hyper: Hyper, data: Data, greedy: Flag = False) -> AnyActor:
        """The policy as it stands; `data` may come without a world."""

    def product(self, run: RunState) -> Params:
        """What a later stage may start from, and what is exported: of one run."""


@dataclass(frozen=True)
class Untrained:
    """In `Stage.after`: the fresh parameters of the shared network, those of the run's seed."""


UNTRAINED = Untrained()


@dataclass(frozen=True)
class Stage:
    """A piece of training as a value: stages with equal keys are one stage, trained once.

    Attributes:
        name: words for the bar, the table and the page.
        learner: makes the learner of a scene and a config.
        config: what decides the program, hashable.
        hyper: numbers that are data of the program, so that a sweep may give every run its own.
        needs: inputs that must be in `Data`.
        after: what `init` starts from: products of other stages, or untrained parameters.
        fitted: makes `Data.fitted`; None for nothing.
        budget: whose simulator steps it spends.
        sharpness: of its network's policy; None for what the study has.
    """

    name: str
    learner: Callable[[Scene, Any], Learner]
    config: Any = ()
    hyper: Any = ()
    needs: frozenset[Need] = frozenset({Need.USERS})
    after: tuple["Stage | Untrained", ...] = ()
    fitted: OfflineFit | None = None
    budget: Budget = Budget.ONLINE
    sharpness: float | None = None

    def policy(self, shared: PolicyConfig) -> PolicyConfig:
        """The network's settings with the stage's own sharpness, where it has one."""
        return shared if self.sharpness is None else replace(shared, sharpness=self.sharpness)

    @property
    def before(self) -> tuple["Stage", ...]:
        """The stages it starts from."""
        return tuple(start for start in self.after if isinstance(start, Stage))


def online_needs(look: bool) -> frozenset[Need]:
    """What a stage needs that serves users, with or without keeping alike items apart."""
    return frozenset({Need.USERS, Need.LIKENESS} if look else {Need.USERS})


def looking(stage: Stage, name: str) -> Stage:
    """The stage under another name, served with alike items kept apart."""
    return replace(stage, name=name, needs=stage.needs | {Need.LIKENESS})


def rest_on_table(stages: Iterable[Stage]) -> bool:
    """Whether any of the stages reads what was made from the preference table."""
    return any(need.rests_on_table for stage in stages for need in stage.needs)


@dataclass(frozen=True)
class Rival:
    """A comparison that a report makes: this method minus `other` on `metric`; `question` is what it answers.

    `premise` names what the method is built on, where a comparison of the start (`initial_reward`) shows whether that pays:
    the page opens with it.
    """

    other: str
    metric: str
    question: str
    premise: str = ""


@dataclass(frozen=True)
@checked
class Card:
    """All that a report says of a method; written into results.json, so that a page needs no registry.

    Attributes:
        title: its name for people.
        meaning: one line.
        family: methods of one family are shown together.
        learns_online: whether its curve may rise; others are drawn as a level.
        rivals: what it is compared with.
        curves: further metrics that are drawn over the run, and their titles.
        stochastic: whether its greedy version is another policy.
        reference: whether it is repeated in the pictures of other families.
        landmark: its part in the room that a world leaves, which a page opens with: the least one expects, what a simple
            policy earns, or what knows the users.
        default: whether a study that names no methods runs it.
        exported: whether its product is the whole policy as parameters of the shared network, for `ialp recommend`.
        paper: where it is from.
    """

    title: str
    meaning: str
    family: str
    learns_online: bool
    rivals: tuple[Rival, ...] = ()
    curves: Mapping[str, str] = field(default_factory=dict)
    stochastic: bool = True
    reference: bool = False
    landmark: Literal["", "floor", "simple", "ceiling"] = ""
    default: bool = False
    exported: bool = False
    paper: str = ""


class Common(Protocol):
    """What a method may ask of the study it is part of."""

    def method(self, name: str) -> Any:
        """The options of another method, as the study has them."""


class Method(Protocol):
    """The registered class: a frozen dataclass of options.

    `builds_on` names the methods whose options decide its stages too; a command line then offers them. Two may be left out:
    `recipes` are options that an environment may ask for by their common name, `unread` groups of options of methods that
    it builds on which decide nothing of it, as "iql.online": no sweep may search them.
    """

    card: ClassVar[Card]
    builds_on: ClassVar[tuple[str, ...]]
    recipes: ClassVar[Recipes]
    unread: ClassVar[tuple[str, ...]]

    def stages(self, study: Common) -> tuple[Stage, ...]:
        """Its stages in the order of training; the last one is measured."""
