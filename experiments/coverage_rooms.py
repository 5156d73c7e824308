"""Line and branch coverage by room, from the data that `coverage run` left: `make coverage`.

Coverage counts what Python runs. Of traced code that is its tracing: a line that is wrong is counted as a line that is
right, so those rooms are left out here and have `make mutants` instead.
"""

import argparse
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

TRACED = ("worlds", "serving", "policies", "learning", "recommenders", "methods")
"""Rooms whose code is mostly compiled by JAX."""
WANTED = 0.9
COUNTED = {
    "lines": ("covered_lines", "num_statements"),
    "branches": ("covered_branches", "num_branches"),
}


def room_of(file: str) -> str:
    """The folder or file below the package."""
    return file.split("ialp_jax/", 1)[1].split("/")[0].removesuffix(".py")


def measured(report: Path) -> dict[str, Counter[str]]:
    """Sums of every room, from `coverage json`."""
    rooms: dict[str, Counter[str]] = {}
    for file, entry in json.loads(report.read_text(encoding="utf-8"))["files"].items():
        numbers = {name: count for name, count in entry["summary"].items() if isinstance(count, int)}
        rooms.setdefault(room_of(file), Counter()).update(numbers)
    return rooms


def share(sums: Counter[str], kind: str) -> float:
    """Of lines or branches that were reached; 1 where there are none."""
    reached, whole = COUNTED[kind]
    return sums[reached] / sums[whole] if sums[whole] else 1.0


def main() -> None:
    """Prints a row per room and one for all host rooms; the status is 1 where that is too low."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path(".coverage"))
    asked = parser.parse_args()
    report = asked.data.with_name(asked.data.name + ".json")
    subprocess.run(
        [sys.executable, "-m", "coverage", "json", "-q", "--data-file", asked.data, "-o", report], check=True
    )
    rooms = measured(report)
    host = {room: sums for room, sums in sorted(rooms.items()) if room not in TRACED}
    whole = sum(host.values(), Counter())
    for room, sums in [*host.items(), ("all of them", whole)]:
        print(f"{room:14}{sums['num_statements']:7,} lines {share(sums, 'lines'):6.1%}"
              f"{sums['num_branches']:7,} branches {share(sums, 'branches'):6.1%}")  # fmt: skip
    sys.exit(min(share(whole, kind) for kind in COUNTED) < WANTED)


if __name__ == "__main__":
    main()
