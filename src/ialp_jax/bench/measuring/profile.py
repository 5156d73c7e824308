"""Where a call's time goes: XLA's profile of one call, added up by the functions of ours its operations come from.

What JAX has traced once and uses again (such as its random numbers) counts for the function that was the first to use it.
"""

import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jax

from ialp_jax.bench.measuring.interleave import Running

SHOWN = 12  # functions listed by name; what the others take is one more line
CONTAINERS = {"while", "conditional", "call"}  # their time is that of the operations within
INSTRUCTION = re.compile(r"\s*(?:ROOT )?%?([\w.\-]+) = (?:\(.*?\)|\S+) ([\w\-]+)\(")
ENTRY = re.compile(r'(\d+) (?:"(.*)"|\{(.*)\})$')


@dataclass(frozen=True)
class Share:
    """What the operations of one function take of a call.

    Attributes:
        function: as it is named in the source; ", backward" where it is differentiated.
        file: where it is, from the package on; empty for what XLA adds itself.
        ns_per_step: of all its operations, on all threads or streams together, per user-step of the call.
        share: of all operations' time.
        times: operations started.
        largest: the compiled program's name for the operation that takes most.
    """

    function: str
    file: str
    ns_per_step: float
    share: float
    times: int
    largest: str


def profile_call(one: Running) -> list[Share]:
    """Traces one more call of a program; functions in the order of their time, those beyond `SHOWN` as one."""
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0  # Python waits; only what it starts is of interest
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder, profiler_options=options):
            one.timed(1)
        seconds, times = _operations(Path(folder))
    return shares(seconds, times, one.ready.text() or "", one.ready.program.steps)


def shares(seconds: dict[str, float], times: dict[str, int], program: str, steps: int) -> list[Share]:
    """Adds operations up by function.

    Args:
        seconds: of each operation, by its name in the compiled program.
        times: how often it ran.
        program: the compiled program as XLA prints it.
        steps: user-steps of the call.
    """
    places = {name: place for name, place in _places(program) if name in seconds}
    total = sum(seconds[name] for name in places)
    groups: dict[tuple[str, str], list[str]] = {}
    for name in sorted(places, key=lambda name: -seconds[name]):
        groups.setdefault(places[name], []).append(name)
    found = [
        Share(*place, 1e9 * (taken := sum(seconds[name] for name in names)) / steps, taken / total,
              sum(times[name] for name in names), names[0])
        for place, names in groups.items()
    ]  # fmt: skip
    found.sort(key=lambda share: -share.share)
    return _shortened(found)


def _shortened(found: list[Share]) -> list[Share]:
    rest = found[SHOWN:]
    if len(rest) < 2:
        return found
    others = Share(
        f"{len(rest)} others", "", sum(share.ns_per_step for share in rest), sum(share.share for share in rest),
        sum(share.times for share in rest), rest[0].largest,
    )  # fmt: skip
    return [*found[:SHOWN], others]


def _operations(folder: Path) -> tuple[dict[str, float], dict[str, int]]:
    """Seconds and runs of every operation in a trace's files."""
    seconds: Counter[str] = Counter()
    times: Counter[str] = Counter()
    for file in folder.rglob("*.xplane.pb"):
        for plane in jax.profiler.ProfileData.from_file(str(file)).planes:
            for line in plane.lines:
                for event in line.events:
                    name = dict(event.stats).get("hlo_op")
                    if name:
                        seconds[str(name)] += event.duration_ns / 1e9
                        times[str(name)] += 1
    return dict(seconds), dict(times)


def _places(program: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """(instruction, (function, file)) of everything in a printed program but loops and branches."""
    tables = {
        title: _table(program, title)
        for title in ("FileNames", "FunctionNames", "FileLocations", "StackFrames")
    }
    for line in program.splitlines():
        found = INSTRUCTION.match(line)
        if found is None or found[2] in CONTAINERS:
            continue
        frame = re.search(r"stack_frame_id=(\d+)", line)
        location = _number(tables["StackFrames"].get(frame[1], ""), "file_location_id") if frame else ""
        source = tables["FileLocations"].get(location, "")
        function = tables["FunctionNames"].get(_number(source, "function_name_id"), "")
        if not function:
            yield found[1], (f"{found[2]} (XLA's own)", "")
            continue
        backward = ", backward" if "transpose(" in line else ""
        file = tables["FileNames"].get(_number(source, "file_name_id"), "")
        short = re.sub(r"^.*/(?:site-packages|src)/", "", file)
        yield found[1], (function.split(".<locals>")[0] + backward, short)


def _table(program: str, title: str) -> dict[str, str]:
    """One of the numbered lists at the head of a printed program; empty if it is not there."""
    _, found, after = program.partition(f"\n{title}\n")
    lines = after.split("\n\n", 1)[0].splitlines() if found else []
    entries = [entry for line in lines if (entry := ENTRY.match(line))]
    return {entry[1]: entry[2] or entry[3] or "" for entry in entries}


def _number(record: str, name: str) -> str:
    found = re.search(rf"\b{name}=(\d+)", record)
    return found[1] if found else ""
