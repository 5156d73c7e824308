"""Plans a preference job: writes who is to be asked about what, in which words, to a folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console

from ialp_jax import environments
from ialp_jax.command_line import read
from ialp_jax.data.build import DataConfig
from ialp_jax.environments.logs import Logs
from ialp_jax.folders import claimed, require_free
from ialp_jax.preferences.candidates import CandidateConfig
from ialp_jax.preferences.job.plan import plan_job
from ialp_jax.preferences.prompting.prompts import ATTRIBUTES_LENGTH
from ialp_jax.ranges import Count, at_least
from ialp_jax.values import checked


@dataclass(frozen=True)
@checked
class Plan:
    """Chooses candidates for every offline user and writes the requests; judge them with `ialp prefs judge OUT`."""

    env: tyro.conf.Positional[str] = "synthetic"
    """Environment: a name (see `ialp envs`) or a .py file that registers one."""
    out: Path | None = None
    """Folder of the job; prefs/ENV if left out."""
    data: Path | None = None
    """Folder of logs. Without it the environment's users are invented."""
    states: Count | None = None
    """Ask about so many users only, drawn at random; all if left out."""
    split: Literal["offline", "online"] = "offline"
    """Whose states; only offline users' may feed pre-training."""
    attributes_length: Annotated[int, at_least(0)] = ATTRIBUTES_LENGTH
    """Characters of an item's attributes that the judge reads; every 4 cost about a token per pair."""
    candidates: CandidateConfig = CandidateConfig()
    """Which items each user is judged on."""
    dataset: Annotated[DataConfig, tyro.conf.arg(name="data")] = DataConfig()
    """From logs to a dataset; as `ialp train` will be told."""


def run(arguments: Sequence[str]) -> None:
    """Plans and says what was planned."""
    # Twice: the environment decides the defaults of how logs become a dataset.
    asked = read(Plan, [a for a in arguments if a not in ("-h", "--help")], "ialp prefs plan")
    name, environment = environments.get(asked.env)
    defaults = Plan(asked.env, dataset=environment.data)
    plan = read(Plan, arguments, "ialp prefs plan", defaults)
    console, out = Console(), plan.out or Path("prefs") / name
    logs = Logs(plan.env, plan.data, plan.dataset)
    work = f"ialp prefs plan {name}"
    require_free(out, work)
    dataset = logs.dataset()  # first: where there are none, no folder is made
    with claimed(out, work):
        requests = plan_job(
            dataset, plan.candidates, out, split=plan.split, states=plan.states,
            attributes_length=plan.attributes_length, logs=logs.record(), console=console,
        )  # fmt: skip
    console.print(f"{name}: {requests.num_states:,} users x {requests.num_items:,} items; "
                  f"{int(requests.pairs().sum()):,} pairs to judge, in {out}", markup=False)  # fmt: skip
