"""The workloads by name: what a call of each does, at any number of users and any size of catalogue."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from ialp_jax.bench.measuring.floors import Counts
from ialp_jax.bench.measuring.program import Program, Tree
from ialp_jax.bench.settings import Effort, Point, Shape
from ialp_jax.bench.subjects import head, work
from ialp_jax.bench.subjects.learners import learning_stages, taught_stage
from ialp_jax.bench.subjects.worlds import RandomWorld
from ialp_jax.methods.base import Data, Learner, Scene, Stage
from ialp_jax.methods.learners.feedback import NO_FEEDBACK, FeedbackConfig
from ialp_jax.methods.learners.frozen import FrozenNetwork
from ialp_jax.methods.named.random import RandomServer
from ialp_jax.methods.needs import Need
from ialp_jax.policies.actor_critic import ActorCritic, Network
from ialp_jax.policies.config import PolicyConfig
from ialp_jax.serving.likeness import Likeness
from ialp_jax.serving.stream import Stream
from ialp_jax.training.guard import Guarded, guarded_update, sound_guard
from ialp_jax.training.loop import LoopConfig
from ialp_jax.training.mesh import MeshConfig, make_mesh
from ialp_jax.worlds.simulator import Simulator, SimulatorConfig
from ialp_jax.worlds.world import World

LONG = 1_000_000  # updates of the run a call is cut from: far from its end

Axis = Literal["run", "user"]
Build = Callable[[Point, Shape, Effort], Program]


@dataclass(frozen=True)
class Workload:
    """One line of the comparison.

    Attributes:
        title: what it is called.
        meaning: what one call does, in a sentence.
        build: makes the program of a point.
    """

    title: str
    meaning: str
    build: Build


def stream_of(point: Point, shape: Shape) -> Stream:
    """How users are served; a pool of a quarter of the users, or of 64, opens the sessions of an update."""
    return Stream(
        users=point.users,
        rollout=shape.rollout,
        updates=LONG,
        pool=min(point.users, max(64, point.users // 4)),
    )


def scene_of(point: Point, shape: Shape, stage: Stage | None = None) -> Scene:
    """The scene of a study, or of one of its stages."""
    policy = policy_of(shape)
    network = network_of(point, policy if stage is None else stage.policy(policy))
    return Scene(simulator_of(shape), network, stream_of(point, shape))


def policy_of(shape: Shape) -> PolicyConfig:
    """The settings of a study's network."""
    return PolicyConfig(
        embedding=shape.embedding,
        hidden=shape.hidden,
        item_start="random",
        head=shape.head,
        matmul=shape.matmul,
    )


def network_of(point: Point, policy: PolicyConfig) -> Network:
    """A network with these settings."""
    return Network(ActorCritic(point.items, policy))


def simulator_of(shape: Shape) -> Simulator:
    """The simulator of a study."""
    return Simulator(SimulatorConfig(turn_cap=shape.turn_cap))


def mesh_of(point: Point, axis: Axis) -> Mesh | None:
    """As many of this machine's devices as divide the users, all on one axis; None if that is one device."""
    count = math.gcd(point.users, len(jax.devices()))
    config = MeshConfig(run=count, user=1) if axis == "run" else MeshConfig(run=1, user=count)
    return make_mesh(config, count, point.users, stream_of(point, Shape()).pool, jax.devices()[:count])


def environment(point: Point, shape: Shape, effort: Effort) -> Program:
    """Users, random permitted items, no policy."""
    learner = RandomServer(scene_of(point, shape))
    world = RandomWorld(shape.population, point.items, shape.history)
    turn = work.environment_work(shape, point.users, world)

    def start(key: jax.Array, world: World) -> Tree:
        return learner.init(key, (), Data(world=world), ())

    return _repeated(learner, (), start, world, point, shape, effort, turn.times(shape.rollout))


def environment_on_devices(point: Point, shape: Shape, effort: Effort) -> Program:
    """The same, the users divided into one run per device."""
    mesh = mesh_of(point, "run")
    if mesh is None:
        return environment(point, shape, effort)
    each = replace(point, users=point.users // mesh.size)
    return _on_mesh(environment(each, shape, effort), mesh, mesh.size)


def serving(point: Point, shape: Shape, effort: Effort) -> Program:
    """Users and the learnt policy, no learning: the parameters travel in the state but never change."""
    scene = scene_of(point, shape)
    learner, network = FrozenNetwork(scene), scene.network
    world = RandomWorld(shape.population, point.items, shape.history)

    def start(key: jax.Array, world: World) -> Tree:
        return learner.init(key, (), Data(world=world), (network.init(key, shape.history),))

    counts = work.together(
        work.serving_work(shape, point.users, point.items).times(shape.rollout),
        work.environment_work(shape, point.users, world).times(shape.rollout),
    )
    plan = str(head.plan_of(point, shape))
    return _repeated(learner, (), start, world, point, shape, effort, counts, plan)


def training(stage: Stage) -> Build:
    """A stage of a method, started from untrained parameters, in a random world of the kind that it learns in."""
    kind = "imagined" if any(need.imagines_users for need in stage.needs) else "users"
    policies, looks = len(stage.after), Need.LIKENESS in stage.needs

    def build(point: Point, shape: Shape, effort: Effort) -> Program:
        scene = scene_of(point, shape, stage)
        learner = stage.learner(scene, stage.config)
        world = RandomWorld(shape.population, point.items, shape.history, kind, looks)  # type: ignore[arg-type]

        def start(key: jax.Array, world: World) -> Tree:
            params = tuple(scene.network.init(one, shape.history) for one in jax.random.split(key, policies))
            return learner.init(key, stage.hyper, data_of(world, looks), params)

        counts = training_work(
            point, shape, world, policies, feedback_of(stage.config), getattr(stage.config, "asked", 0)
        )
        plan = str(head.plan_of(point, shape))
        return _repeated(learner, stage.hyper, start, world, point, shape, effort, counts, plan, looks)

    return build


def data_of(world: World, looks: bool) -> Data:
    """What a learner reads: the world and, where it looks, that nothing is recommended that the world's users hold alike."""
    if not looks:
        return Data(world=world)
    assert world.near is not None
    return Data(world=world, likeness=Likeness(world.near, work.WINDOW))


def feedback_of(config: Any) -> FeedbackConfig:
    """The steps on the feedback that a learner's static settings ask for."""
    held = config if isinstance(config, FeedbackConfig) else getattr(config, "model", NO_FEEDBACK)
    assert isinstance(held, FeedbackConfig)
    return held


def on_devices(build: Build) -> Build:
    """The same, the users of the one run shared by all devices."""

    def build_shared(point: Point, shape: Shape, effort: Effort) -> Program:
        mesh, program = mesh_of(point, "user"), build(point, shape, effort)
        return program if mesh is None else _on_mesh(program, mesh, 1)

    return build_shared


def _on_mesh(program: Program, mesh: Mesh, runs: int) -> Program:
    """`runs` times the program, on several devices."""

    def start(key: jax.Array, world: World) -> Tree:
        return jax.vmap(program.start, (0, None))(jax.random.split(key, runs), world)

    return replace(program, start=start, step=jax.vmap(program.step, (0, None)), steps=runs * program.steps,
                   counts=program.counts.times(runs), mesh=mesh)  # fmt: skip


def training_work(
    point: Point,
    shape: Shape,
    world: RandomWorld,
    policies: int,
    feedback: FeedbackConfig = NO_FEEDBACK,
    asked: int = 0,
) -> Counts:
    """The least work of one update; `asked` items of a row have answers besides the recommended one."""
    rows = feedback.feedback_steps * feedback.feedback_rows * point.users
    return work.together(
        work.feedback_work(shape, point.items, feedback.feedback_steps, rows, 1 + asked),
        work.serving_work(shape, point.users, point.items, policies).times(shape.rollout),
        work.environment_work(shape, point.users, world).times(shape.rollout),
        work.learning_work(shape, point.users, point.items),
    )


def updates_per_call(counts: Counts, point: Point, shape: Shape, effort: Effort) -> int:
    """Updates scanned over in one call: as many as in a chunk of the training loop while that is short enough.

    Small programs get more, so that they are not measured by what starting a call costs. Memory that a call takes is
    given back after it: with one update per call, that alone would cost a fifth of the time (docs/performance.md).
    """
    flops = max(counts.total_flops, 1.0)
    chunk = min(LoopConfig().chunk, effort.flops_per_chunk / flops)
    short = min(effort.flops_per_call / flops, effort.steps_per_call / (point.users * shape.rollout))
    return int(min(max(short, chunk, 1), 1000))


def _repeated(
    learner: Learner,
    hyper: Any,
    start: Callable[[jax.Array, Any], Tree],
    world: RandomWorld,
    point: Point,
    shape: Shape,
    effort: Effort,
    counts: Counts,
    plan: str = "",
    looks: bool = False,
) -> Program:
    """`update` scanned over with its guard, metrics averaged on the device, as the training loop does."""
    updates = updates_per_call(counts, point, shape, effort)

    def step(run: Tree, world: World) -> tuple[Tree, Tree]:
        data = data_of(world, looks)
        now, metrics = jax.lax.scan(
            lambda now, _: guarded_update(learner.update, now, hyper, data),
            Guarded(run, sound_guard()),
            None,
            length=updates,
        )
        return now.run, jax.tree.map(jnp.mean, metrics)

    steps = updates * point.users * shape.rollout
    return Program(world, start, step, steps, counts.times(updates), plan)


_LEARNERS = {
    entry.name: Workload(f"{entry.card.title}, learning", entry.card.meaning, training(stage))
    for entry, stage in learning_stages()
}
# In the order in which they are measured: a budget that runs out costs the last ones.
WORKLOADS: dict[str, Workload] = {
    "environment": Workload(
        "environment only", "Random permitted items to every user; no policy.", environment
    ),
    "environment_devices": Workload(
        "environment only, all devices",
        "The same users as one run per device (of a CPU: per core), side by side without a word between them.",
        environment_on_devices,
    ),
    "serving": Workload(
        "environment + policy", "The policy samples an item for every user; nothing is learnt.", serving
    ),
    "a2c": _LEARNERS["a2c"],
    "a2c_devices": Workload(
        "A2C from scratch, learning, all devices",
        "The users of one run shared by all devices (of a CPU: its cores); gradients are added up.",
        on_devices(_LEARNERS["a2c"].build),
    ),
    "head": Workload(
        "catalogue head", "Logits, a sample, its log-probability and the entropy of every row.", head.acting
    ),
    "head_gradient": Workload(
        "catalogue head, learning", "Log-probabilities and entropies of given items, forward and backward.",
        head.learning,
    ),
    "head_distrax": Workload(
        "head by distrax", "The same as the catalogue head, by `distrax.Categorical` on the same logits.",
        head.by_distrax,
    ),
    "head_logsumexp": Workload(
        "logits + logsumexp", "The least a softmax can do: the logits and their logsumexp, nothing sampled.",
        head.by_logsumexp,
    ),
    **_LEARNERS,
    "ialp_taught": Workload(
        "iALP, supervised term",
        "iALP that also imitates a preferred item of every state, drawn from the whole catalogue.",
        training(taught_stage()),
    ),
}  # fmt: skip
