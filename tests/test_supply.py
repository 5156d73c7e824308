"""What is installed: constraints at both ends that fit pyproject.toml, licences listed, types told."""

import re
import tomllib
from importlib import resources
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DIRECT = [Requirement(line) for line in PROJECT["dependencies"]]
PYTHONS = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", line)]


def constraints(end, version):
    """Version of each package, by name."""
    text = (ROOT / "requirements" / f"constraints-{end}-{version}.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {canonicalize_name(name): Version(number) for name, number in (line.split("==") for line in lines)}


def lower_bound(requirement):
    return min(Version(bound.version) for bound in requirement.specifier if bound.operator in (">=", "=="))


@pytest.mark.parametrize("version", PYTHONS)
def test_both_ends_are_what_pyproject_allows(version):
    lowest, newest = constraints("lowest", version), constraints("newest", version)
    for requirement in DIRECT:
        name = canonicalize_name(requirement.name)
        assert requirement.specifier.contains(lowest[name]) and requirement.specifier.contains(
            newest[name]
        ), name
        assert lowest[name] <= newest[name], name


def test_the_lowest_versions_are_the_lower_bounds():
    """On the oldest Python; later ones have wheels of later versions only."""
    lowest = constraints("lowest", PYTHONS[0])
    for requirement in DIRECT:
        assert lowest[canonicalize_name(requirement.name)] == lower_bound(requirement), requirement.name


def test_ci_runs_the_pythons_that_are_promised():
    named = re.search(r"^pythons=\((.*)\)$", (ROOT / ".ci/run").read_text(encoding="utf-8"), re.MULTILINE)
    assert named[1].split() == PYTHONS


def test_licences_of_all_direct_dependencies_are_listed():
    page = (ROOT / "docs/supply.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (\S+) \| \S+ \| (.+) \|$", page, re.MULTILINE))
    assert {canonicalize_name(requirement.name) for requirement in DIRECT} <= rows.keys()
    assert "none stated" not in rows.values()


def test_types_are_told():
    """`make test-wheel` looks for it in the wheel."""
    assert (resources.files("ialp_jax") / "py.typed").is_file()
