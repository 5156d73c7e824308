"""The licences of everything that an installation brings along, as they say themselves.

    make licences          # writes the table into docs/supply.md
    python requirements/licences.py [FILE]

Without FILE the table is printed. In FILE it stands between two marks. Only what this project's own dependencies lead to
is listed, not the tools of its tests.
"""

import sys
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = "ialp-jax"
BEGIN, END = "<!-- licences: begin -->", "<!-- licences: end -->"
LONGEST = 60  # characters; some packages put the whole text of their licence there


def required(distribution: metadata.Distribution, extras: Iterable[str]) -> Iterator[Requirement]:
    """What it needs on this platform and with these extras."""
    for line in distribution.requires or []:
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield requirement


def installed() -> dict[str, metadata.Distribution]:
    """Everything that the project leads to, by name."""
    reached: dict[str, metadata.Distribution] = {}
    waiting = [Requirement(PROJECT)]
    seen = set()
    while waiting:
        requirement = waiting.pop()
        asked = (canonicalize_name(requirement.name), frozenset(requirement.extras))
        if asked not in seen:
            seen.add(asked)
            reached[asked[0]] = metadata.distribution(requirement.name)
            waiting += required(reached[asked[0]], requirement.extras)
    return dict(sorted((name, reached[name]) for name in reached if name != PROJECT))


def licence(distribution: metadata.Distribution) -> str:
    """What its metadata say: an SPDX expression, else the classifiers, else a short text."""
    fields = distribution.metadata
    expression = fields.get("License-Expression")
    classifiers = [
        line.rpartition(" :: ")[2]
        for line in fields.get_all("Classifier") or []
        if line.startswith("License ::")
    ]
    text = (fields.get("License") or "").strip().partition("\n")[0]
    return expression or ", ".join(classifiers) or text[:LONGEST] or "none stated"


def table() -> str:
    """A row for each package."""
    rows = [
        f"| {name} | {distribution.version} | {licence(distribution)} |"
        for name, distribution in installed().items()
    ]
    return "\n".join(["| package | version | licence |", "|---|---|---|", *rows])


def main() -> None:
    """Prints the table, or puts it into a file."""
    if len(sys.argv) == 1:
        print(table())
        return
    path = Path(sys.argv[1])
    before, rest = path.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    path.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
