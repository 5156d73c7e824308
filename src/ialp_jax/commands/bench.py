"""Measures throughput beside its floor: environment, serving, training, the catalogue head; a table and a page."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from ialp_jax.artifacts import InputError
from ialp_jax.bench.measuring.device import DeviceName
from ialp_jax.bench.settings import Effort, Grid, Shape
from ialp_jax.command_line import read
from ialp_jax.folders import claimed
from ialp_jax.ranges import Count, Rate, Weight
from ialp_jax.values import checked

NOT_QUICK = ("ialp_taught",)
QUICK_USERS, QUICK_ITEMS = (64, 1024), (300, 3000)
QUICK_EFFORT: dict[str, Any] = {
    "repeats": 5,
    "repeat_seconds": 0.1,
    "longest_call": 2.0,
    "budget": 88.0,
    "flops_per_chunk": 5e10,
}
# An accelerator starts a call in about the time a CPU does, and does far more in it.
ACCELERATOR_EFFORT: dict[str, Any] = {"flops_per_call": 1e12, "steps_per_call": 1e8, "flops_per_chunk": 1e14}


@dataclass(frozen=True)
@checked
class Bench:
    """Measures how fast every part runs, beside the floor that this machine sets it in the same run."""

    device: DeviceName = "auto"
    """Where to run: cpu, gpu, or whatever JAX prefers."""
    quick: bool = False
    """Few points in under two minutes on two cores, compilation included."""
    what: tuple[str, ...] = ()
    """Workloads, by name; all if left out. `--list` shows them."""
    list: bool = False
    """Shows the workloads and measures nothing."""
    users: tuple[Count, ...] = ()
    """Users served at once; 1 to 65,536 if left out."""
    items: tuple[Count, ...] = ()
    """Catalogue sizes; 300 to 300,000 if left out."""
    out: Path = Path("runs/bench")
    """Folder for bench.json and bench.html."""
    profile: bool = False
    """Also finds out where the time of every point goes, by the functions that its operations come from."""
    largest: tuple[str, ...] = ()
    """Workloads that are grown from 1,024 users and 3,000 items, first in users, then in items, until they no longer
    fit; none if left out."""
    peers: Path | None = None
    """Program that measures peers in the middle of the run (experiments/peers/run.py); none if left out."""
    repeats: Count | None = None
    """Times every program is timed."""
    repeat_seconds: Weight | None = None
    """Least length of one timing; short programs are called several times."""
    budget: Weight | None = None
    """Seconds the run may take, without --profile and --largest; what would exceed it is left out, and named."""
    longest_call: Weight | None = None
    """Points of which one call must take more than this many seconds are left out, and named."""
    memory_gb: Rate | None = None
    """Memory that may be used; most of what is free if left out."""
    shape: Shape = Shape()
    """Sizes that all points share."""


def run(arguments: Sequence[str]) -> None:
    """Measures, prints the tables, writes the files."""
    asked = read(Bench, arguments, "ialp bench")
    console = Console(width=None if os.environ.get("COLUMNS") or Console().is_terminal else 150)
    from ialp_jax.bench import peers, results
    from ialp_jax.bench.measuring.device import open_machine
    from ialp_jax.bench.pages import page, table
    from ialp_jax.bench.progress import bars
    from ialp_jax.bench.run import Benchmark
    from ialp_jax.bench.subjects.workloads import WORKLOADS
    from ialp_jax.training.device import split_cpu

    if asked.list:
        for name, workload in WORKLOADS.items():
            console.print(f"  {name:<15} {workload.title}: {workload.meaning}", highlight=False)
        return
    grid = grid_of(asked, tuple(WORKLOADS))
    if asked.peers is not None:
        peers.check_program(asked.peers)
    split_cpu()
    machine = open_machine(asked.device, None if asked.memory_gb is None else 1e9 * asked.memory_gb)
    benchmark = Benchmark(
        grid, asked.shape, effort_of(asked, machine.kind), machine, asked.profile, asked.largest
    )
    found = peers.Peers()

    def keep(outcome: results.Results) -> None:
        outcome.peers = found.rows
        results.write(asked.out / "bench.json", outcome.to_json())
        results.write(asked.out / "bench.html", page.render(outcome))

    halfway = None if asked.peers is None else peers.halfway(asked.peers, found, asked.quick)
    with claimed(asked.out, "ialp bench"):
        with bars(console) as watch:
            outcome = benchmark.run(watch, halfway, keep)
        keep(outcome)
    table.print_results(outcome, console)
    console.print(
        f"{outcome.seconds:.0f} s; {asked.out / 'bench.html'}, {asked.out / 'bench.json'}", highlight=False
    )
    if found.failure is not None:
        raise found.failure


def grid_of(asked: Bench, known: tuple[str, ...]) -> Grid:
    """The points asked for.

    Raises:
        InputError: if a workload does not exist, or a size is no size.
    """
    for column, names in (("--what", asked.what), ("--largest", asked.largest)):
        for name in names:
            if name not in known:
                raise InputError(
                    f"there is no workload {name!r}", column=column, fix=f"use some of {', '.join(known)}"
                )
    least = asked.shape.excluded + 1
    if any(size < least for size in asked.items):
        raise InputError(f"{min(asked.items)} is too small", column="--items", fix=f"use {least} or more")
    default = Grid(())
    users = asked.users or (QUICK_USERS if asked.quick else default.users)
    items = asked.items or (QUICK_ITEMS if asked.quick else default.items)
    usual = tuple(name for name in known if not (asked.quick and name in NOT_QUICK))
    return Grid(asked.what or usual, users, items)


def effort_of(asked: Bench, kind: str) -> Effort:
    """How hard to measure on this kind of device."""
    effort = Effort(**(QUICK_EFFORT if asked.quick else {}))
    if kind != "cpu":
        effort = replace(effort, **ACCELERATOR_EFFORT)
    given: dict[str, Any] = {
        "repeats": asked.repeats,
        "repeat_seconds": asked.repeat_seconds,
        "budget": asked.budget,
        "longest_call": asked.longest_call,
    }
    return replace(effort, **{name: value for name, value in given.items() if value is not None})
