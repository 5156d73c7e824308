"""What a user would write today, measured for ratios in the same run.

    python experiments/peers/run.py --out peers.json [--quick] [--items 3000]      (extra: pip install -e ".[peers]")

Every measurement runs in a process of its own. First every setting of the grid is measured once, briefly; then the
best of each peer in several repeats, interleaved over the peers. The JSON holds all of them; `best` marks what a
ratio should be taken against.

Equal on both sides
    rule         distance exit over the last 4 recommendations on 16-wide item vectors (float32), turn cap 20, no
                 repeats of the session or of the known history (10 items), reward = rating (a look-up in a table of 1,024 users, ours too at 3,000 items) plus clipped Gaussian noise, users
                 drawn uniformly, a session that ends followed by another in the same step
    observation  the last 10 items and their feedback, kept up to date also where actions are random
    random play  uniform over the permitted items
    A2C          float32; GRU 64 over history, embeddings 32 shared with the catalogue head, softmax over all items
                 with the excluded ones masked, V by a hidden layer of 64; GAE with truncation bootstrapped, entropy
                 bonus, normalised advantages, clipped gradients, one step of Adam per rollout of 16
Less work for the peer
    what is not asked for costs nothing (the users' temper, the reason of an exit, sums over finished sessions, rules
    that are switched off); the A2C has no Q head and no running profile of liked items, its GRU reads 33 inputs per
    interaction (ours 65) and runs over unfilled slots instead of skipping them
More work for the peer
    the plain and tuned environments compute distances at every step, ours looks up a table made once per world (a bit
    per pair of items, up to 8,192 items)
    styles `replay` and `kept` read the history of 10 anew at every turn, as public code does, where ours carries the
    GRU's state; style `carried` (of `torch_tuned`) carries it. `replay` runs the policy twice, as public code does.
Not comparable
    NumPy uses one core, ours both; Python's own overhead is part of the peers, as users have it.
Plain and tuned
    `numpy` and `torch_numpy` are the plain programs, at their best settings. `numpy_tuned` has a memory layout that was
    worked on; `torch_tuned` may carry the GRU's state and sample by inverse CDF: the strongest we know how to write.
    A ratio that is to convince should be stated against both.
"""

import json
import os
import platform
import statistics
import sys
from collections import defaultdict
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import tyro
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from peers.measure import Spec, measured

Samples = dict[int, list[float]]


@dataclass(frozen=True)
class Options:
    """Measures all peers and writes one JSON file."""

    out: Path = Path("peers.json")
    """Where the rows go."""
    items: int = 3000
    """Size of the catalogue."""
    repeats: int = 5
    """Interleaved repeats of each peer's best settings."""
    seconds: float = 3.0
    """Length of one repeat."""
    finalists: int = 2
    """Settings of each peer that are repeated, by what the brief pass says."""
    quick: bool = False
    """A small grid and short repeats: about a minute; rough."""


def environments(items: int, quick: bool) -> list[Spec]:
    """Random play."""
    sizes = (4096,) if quick else (64, 256, 1024, 4096, 16384)
    specs = [Spec(peer, items, users) for peer in ("numpy", "numpy_tuned") for users in sizes]
    if find_spec("gymnasium"):
        specs.append(Spec("gym_single", items, 1))
        specs += [Spec("gym_sync", items, users) for users in ((64,) if quick else (16, 64, 256))]
    return specs


# Peer: the pairs of style and sampler that are tried. Most people write those of `torch_numpy`.
PAIRS = {
    "torch_numpy": [
        (style, sampler) for style in ("replay", "kept") for sampler in ("categorical", "gumbel")
    ],
    "torch_tuned": [("kept", "cdf"), ("carried", "cdf"), ("carried", "gumbel"), ("replay", "cdf")],
    "torch_gym": [("replay", "categorical"), ("replay", "gumbel"), ("kept", "gumbel")],
}


def learners(items: int, quick: bool) -> list[Spec]:
    """A2C in PyTorch: threads, how idle threads wait, users, style and sampler.

    Two threads that spin while they wait are the default, and are slowed a hundredfold by any other program on the
    two cores; passive waiting is not.
    """
    if not find_spec("torch"):
        return []
    threads = [{"threads": 1}, {"threads": 2, "wait": "passive"}, {"threads": 2, "wait": "active"}]
    specs = []
    for peer, pairs in PAIRS.items():
        if peer == "torch_gym" and not find_spec("gymnasium"):
            continue
        narrow = quick or peer == "torch_gym"
        specs += [
            Spec(peer, items, users, {**chosen, "style": style, "sampler": sampler})
            for users in ((64,) if narrow else (16, 64, 256))
            for chosen in (threads[:2] if narrow else threads)
            for style, sampler in (pairs[:2] if quick else pairs)
        ]
    return specs


def summarised(spec: Spec, rates: list[float]) -> dict:
    """One row: the median, and the distance of the extremes as a share of it."""
    middle = statistics.median(rates)
    return {
        "peer": spec.peer,
        "what": spec.what,
        "items": spec.items,
        "users": spec.users,
        "steps_per_s": middle,
        "spread": (max(rates) - min(rates)) / middle if middle else 0.0,
        "settings": spec.settings,
        "samples": rates,
    }


def best_of(rows: list[dict]) -> list[dict]:
    """Marks the fastest row of each peer among those with the most repeats."""
    groups = defaultdict(list)
    for row in rows:
        groups[row["peer"]].append(row)
    chosen = [
        max(group, key=lambda row: (len(row["samples"]), row["steps_per_s"])) for group in groups.values()
    ]
    return [{**row, "best": any(row is one for one in chosen)} for row in rows]


def measure_all(specs: list[Spec], options: Options, console: Console) -> list[dict]:
    """The brief pass over the grid, then interleaved repeats of the finalists."""
    brief = options.seconds / 3
    first = {}
    for number, spec in enumerate(specs, 1):
        first[spec] = measured(spec, brief)
        rate = f"{first[spec]:,.0f} steps/s" if first[spec] else "left out, it did not finish"
        console.print(f"[dim]{number}/{len(specs)}[/] {spec.name}: {rate}", soft_wrap=True)
    specs = [spec for spec in specs if first[spec]]
    peers = defaultdict(list)
    for spec in sorted(specs, key=first.__getitem__, reverse=True):
        peers[spec.peer].append(spec)
    finalists = [spec for group in peers.values() for spec in group[: options.finalists]]
    repeated = defaultdict(list)
    for _ in range(options.repeats):
        for spec in finalists:
            repeated[spec].append(measured(spec, options.seconds))
    return best_of([summarised(spec, repeated.get(spec, [first[spec]])) for spec in specs])


def machine() -> dict:
    """Where the numbers come from; a load above the cores at the start says that others were computing."""
    return {
        "python": platform.python_version(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load_at_start": os.getloadavg()[0],
        **{name: version_of(name) for name in ("numpy", "torch", "gymnasium")},
    }


def version_of(name: str) -> str | None:
    """Version of an installed distribution."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return None


def table(rows: list[dict]) -> Table:
    """The best of each peer."""
    shown = Table(title=f"peers, {rows[0]['items']:,} items")
    for name, side in (("peer", "left"), ("work", "left"), ("users", "right"), ("steps/s", "right"),
                       ("spread", "right"), ("settings", "left")):  # fmt: skip
        shown.add_column(name, justify=side)
    for row in rows:
        if row["best"]:
            settings = ", ".join(f"{key} {value}" for key, value in row["settings"].items())
            shown.add_row(row["peer"], row["what"], f"{row['users']:,}", f"{row['steps_per_s']:,.0f}",
                          f"{row['spread']:.0%}", settings)  # fmt: skip
    return shown


def main(options: Options) -> None:
    """Measures, prints the table and writes the JSON."""
    console, about = Console(), machine()
    if options.quick:
        options = Options(options.out, options.items, repeats=2, seconds=0.6, finalists=1, quick=True)
    for name in ("torch", "gymnasium"):
        if about[name] is None:
            console.print(f'{name} is not installed, its peers are left out: pip install -e ".[peers]"')
    specs = environments(options.items, options.quick) + learners(options.items, options.quick)
    rows = measure_all(specs, options, console)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({"machine": about, "rows": rows}, indent=1))
    console.print(table(rows))
    console.print(f"written to {options.out}")


if __name__ == "__main__":
    main(tyro.cli(Options))
