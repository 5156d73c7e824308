"""Has a planned job judged: by vLLM, by a server, whole or in parts; goes on where it stopped."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

import tyro
from rich.console import Console

from ialp_jax.artifacts import InputError
from ialp_jax.command_line import read, without
from ialp_jax.folders import claimed
from ialp_jax.preferences.job.job import STATES_PER_SHARD, Job, finish_job, judge_shards, open_job
from ialp_jax.preferences.job.probe import probe
from ialp_jax.preferences.job.progress import JobProgress
from ialp_jax.preferences.job.requests import FOLDER, Requests
from ialp_jax.preferences.job.sharing import (
    end_with_parent,
    judge_with_processes,
    judge_with_ray,
    this_command,
)
from ialp_jax.preferences.judges import available_judges, judge_module
from ialp_jax.preferences.prompting.estimate import Assumptions, estimate_counted, estimate_job
from ialp_jax.ranges import Count, at_least
from ialp_jax.values import checked

Settings = TypeVar("Settings")
USAGE = (
    "usage: ialp prefs judge OUT JUDGE [--help | OPTIONS]\n\nOUT: folder of a planned job; JUDGE: one of {}"
)


@dataclass(frozen=True)
@checked
class Judging(Generic[Settings]):
    """Judges what is missing of a planned job. The same command goes on after any interruption."""

    settings: Annotated[Settings, tyro.conf.arg(name="")]
    """Of the judge."""
    dry_run: bool = False
    """Only count prompts and tokens and estimate time and memory."""
    assume: Assumptions = Assumptions()
    """For the estimate."""
    states_per_shard: Count = STATES_PER_SHARD
    """States judged between two writes: what an interruption can cost."""
    data: Path | None = None
    """Folder of the logs, if they lie elsewhere now; only for a judge that reads them (embedding)."""
    probe: Annotated[int, at_least(0)] = 16
    """Pairs asked about before the first shard of a process: a model that does not keep to its labels is told before it is paid
    for. 0 for none; actors of Ray never ask."""
    replicas: Count = 1
    """Engines that share the job by ranges of states, each with GPUs of its own."""
    engine: Literal["local", "ray"] = "local"
    """Where the replicas run: processes of this machine, or actors of a Ray cluster that sees OUT."""
    rank: Annotated[int, at_least(0)] = 0
    """With --world: which part of the job this process judges, for other ways to start many (Slurm, ...)."""
    world: Count = 1
    """Number of processes that share the job."""


def run(arguments: Sequence[str]) -> None:
    """Parses the command line and judges."""
    end_with_parent()
    if len(arguments) < 2 or arguments[0].startswith("-") or arguments[1].startswith("-"):
        Console(stderr=True).print(USAGE.format(", ".join(available_judges())), highlight=False, markup=False)
        sys.exit(0 if set(arguments) & {"-h", "--help"} else 2)
    out, name = Path(arguments[0]), arguments[1]
    module = judge_module(name)
    command: Any = Judging  # whose settings are known only now
    asked = read(
        command[module.Config], arguments[2:], f"ialp prefs judge {out} {name}", Judging(module.Config())
    )
    console = Console(stderr=True)
    requests = Requests.load(out / FOLDER)
    context = requests.context
    if getattr(module, "READS_LOGS", False):
        from ialp_jax.commands.prefs.evaluate import dataset_of  # with JAX, which vLLM's environment has not

        context = replace(context, dataset=dataset_of(out, asked.data, requests.source["dataset"]))
    judge = module.build(context, asked.settings)
    if asked.dry_run:
        _print_estimate(requests, judge, asked)
        return
    # What cannot be asked is refused before an engine starts.
    if (ask := getattr(judge, "prompts", None) or getattr(judge, "texts", None)) is not None:
        ask(requests.make(int(requests.pairs().argmax())))
    if asked.world > 1 and (asked.replicas > 1 or asked.engine == "ray"):
        raise InputError(
            "replicas and world both share the job out", column="replicas", fix="give one of them"
        )
    sharing = asked.world > 1
    with claimed(out, f"ialp prefs judge {name}", "OUT", shared=sharing) as claim:
        job = open_job(
            out, judge.info, states_per_shard=asked.states_per_shard, sharing=sharing, console=console
        )
        claim.hold(shared=sharing or asked.replicas > 1)  # the replicas are processes that share the work
        console.print(judge.info.statement, style="" if judge.info.is_llm else "yellow", highlight=False,
                      markup=False)  # fmt: skip
        _judge(job, judge, name, asked, arguments, console)
        _finish(job, console)


def _judge(
    job: Job, judge: Any, name: str, asked: Judging, arguments: Sequence[str], console: Console
) -> None:
    part = job.part(asked.rank, asked.world)
    missing = job.missing(part)
    if not missing:
        return
    here = asked.engine == "local" and asked.replicas == 1
    if here and len(missing) == len(part):
        probe(job, judge, missing, asked.probe, console)
    gpus_each = getattr(asked.settings, "tensor_parallel", 0)
    with JobProgress(f"judging ({name})", job.pairs_in(missing), console) as progress:
        if asked.engine == "ray":
            judge_with_ray(job, name, asked.settings, asked.replicas, gpus_each, progress)
        elif asked.replicas > 1:
            command = this_command(["prefs", "judge", *without(arguments, "replicas", "rank", "world")])
            judge_with_processes(job, command, asked.replicas, gpus_each, progress)
        else:
            judge_shards(job, judge, missing, progress)


def _print_estimate(requests: Requests, judge: Any, asked: Judging) -> None:
    settings = asked.settings
    if hasattr(judge, "cost"):
        counted = estimate_counted(requests, judge, judge.files, dtype=judge.info.settings["dtype"],
                                   at_once=settings.titles_at_once, assumed=asked.assume)  # fmt: skip
        Console().print(counted.table())
        return
    if not hasattr(judge, "prompts"):
        pairs = int(requests.pairs().sum())
        known = "cannot be told beforehand" if judge.info.is_llm else "are none: it calls no language model"
        Console().print(f"{requests.num_states:,} states, {pairs:,} pairs; this judge's tokens {known}")
        return
    Console().print(
        estimate_job(requests, judge, judge.files, block=settings.block_size, dtype=settings.dtype,
                     states_per_shard=asked.states_per_shard, assumed=asked.assume).table()
    )  # fmt: skip


def _finish(job: Job, console: Console) -> None:
    """Says what is there now."""
    table = finish_job(job)
    if table is None:
        missing = len(job.missing(range(job.num_shards)))
        console.print(f"{job.num_shards - missing} of {job.num_shards} shards are judged; the others are other processes', "
                      "or wait for the same command without --rank and --world")  # fmt: skip
        return
    costs = table.costs
    each = costs["computed_tokens"] / max(1, table.num_judgements)
    console.print(
        f"{table.num_judgements:,} pairs of {table.num_states:,} states judged, {table.rejected:,} rejected by rule; "
        f"{costs['calls']:,} calls, {costs['prompt_tokens']:,} prompt tokens, {each:.1f} computed per pair: {job.directory}",
        markup=False,
    )
