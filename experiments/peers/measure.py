"""One measurement in a process of its own: `python -m peers.measure '<spec as JSON>'` prints one line of JSON."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Spec:
    """What to measure.

    Attributes:
        peer: numpy, numpy_tuned, gym_single, gym_sync (environments); torch_numpy, torch_tuned, torch_gym (A2C).
        items: size of the catalogue.
        users: users served at once.
        settings: of the peer: threads, how idle threads wait (OMP_WAIT_POLICY), style, sampler.
    """

    peer: str
    items: int
    users: int
    settings: dict = field(default_factory=dict, hash=False)

    @property
    def what(self) -> str:
        """The work: random play, or training."""
        return "a2c" if self.peer.startswith("torch") else "environment"

    @property
    def name(self) -> str:
        """One line for people."""
        chosen = ", ".join(f"{key} {value}" for key, value in self.settings.items())
        return f"{self.peer}, {self.users} users" + (f", {chosen}" if chosen else "")


def vector_env(peer: str, items: int, users: int):  # type: ignore[no-untyped-def]
    """The environment a peer runs on; imports only what that one needs."""
    from peers.numpy_env import NumpyEnv
    from peers.numpy_tuned import TunedEnv
    from peers.world import made_world

    world = made_world(items)
    if peer in ("gym_sync", "torch_gym"):
        from peers.gym_env import GymVector

        return GymVector(world, users)
    return (TunedEnv if peer == "numpy_tuned" else NumpyEnv)(world, users)


def random_play(spec: Spec) -> Callable[[], int]:
    """A function that plays some turns with random actions and says how many user-steps they were."""
    if spec.peer == "gym_single":
        return single_user(spec)
    env = vector_env(spec.peer, spec.items, spec.users)

    def play() -> int:
        for _ in range(20):
            env.step(env.random_actions())
        return 20 * spec.users

    return play


def single_user(spec: Spec) -> Callable[[], int]:
    """Random play of one user in Gymnasium's own loop."""
    from random import Random

    from peers.gym_env import UserEnv
    from peers.world import made_world

    env, draw = UserEnv(made_world(spec.items)), Random(0).randrange
    env.reset(seed=0)

    def play() -> int:
        for _ in range(500):
            action = draw(spec.items)
            while action in env.excluded:
                action = draw(spec.items)
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
        return 500

    return play


def training(spec: Spec) -> Callable[[], int]:
    """One update of the PyTorch A2C."""
    import torch

    from peers.torch_a2c import A2C, A2CConfig

    settings = dict(spec.settings)
    torch.set_num_threads(settings.pop("threads"))
    settings.pop("wait", None)  # acts through the environment of the process
    config = A2CConfig(**settings)
    learner = A2C(vector_env(spec.peer, spec.items, spec.users), config)

    def update() -> int:
        learner.update()
        return config.rollout * spec.users

    return update


def rate(work: Callable[[], int], seconds: float) -> float:
    """User-steps per second over `seconds`, after a quarter of that to warm up."""
    until = time.perf_counter() + seconds / 4
    work()
    while time.perf_counter() < until:
        work()
    steps, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        steps += work()
    return steps / (time.perf_counter() - start)


def main() -> None:
    """Measures the spec given as the first argument."""
    request = json.loads(sys.argv[1])
    spec = Spec(**request["spec"])
    work = training(spec) if spec.what == "a2c" else random_play(spec)
    print(json.dumps({"steps_per_s": rate(work, request["seconds"])}))


def measured(spec: Spec, seconds: float) -> float:
    """User-steps per second, by `main` in a process of its own; 0 where it took ten times as long as it should.

    Raises:
        RuntimeError: if the process fails.
    """
    request = json.dumps({"spec": asdict(spec), "seconds": seconds})
    folder = str(Path(__file__).resolve().parents[1])
    environment = {
        **os.environ,
        "PYTHONPATH": folder,
        "OMP_NUM_THREADS": str(spec.settings.get("threads", 1)),
    }
    if "wait" in spec.settings:
        environment["OMP_WAIT_POLICY"] = spec.settings["wait"]
    command = [sys.executable, "-m", "peers.measure", request]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=20 + 10 * seconds
        )
    except subprocess.TimeoutExpired:
        return 0.0
    if done.returncode:
        raise RuntimeError(f"{spec.name} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])["steps_per_s"]


if __name__ == "__main__":
    main()
