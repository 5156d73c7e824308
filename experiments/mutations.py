"""The mutants of a room: every place of its files that can be changed, and what it is changed into."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SOURCE, TESTS = ROOT / "src", ROOT / "tests"
ROOMS = {
    "worlds": ("worlds", "worlds/test_*.py"),
    "learning": ("learning", "learning/test_*.py"),
    "head": ("policies/catalogue", "policies/test_policies_catalogue*.py"),
}
"""Folder of sources and pattern of tests, by room."""
SWAPPED: dict[type, type] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.MatMult: ast.Mult, ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}  # fmt: skip
TWINS = {
    "minimum": "maximum",
    "min": "max",
    "any": "all",
    "argmax": "argmin",
    "zeros": "ones",
    "zeros_like": "ones_like",
}
TWINS |= {twin: name for name, twin in TWINS.items()}


@dataclass(frozen=True)
class Mutant:
    """One changed place.

    Attributes:
        room: its room.
        file: its file, from the repository's root.
        site: number of the place among those of the file.
        line: where it is.
        before: the changed expression.
        after: what it was changed into.
        outcome: "killed", "survived" or "hung"; "" before it was tried.
        by: the tests that it was decided by.
    """

    room: str
    file: str
    site: int
    line: int
    before: str
    after: str
    outcome: str = ""
    by: str = ""

    def __str__(self) -> str:
        return f"{self.outcome:9}{self.file}:{self.line}  {self.before}  ->  {self.after}"


def mutated(node: ast.AST) -> ast.AST | None:
    """The node changed, None where it is none of those that are."""
    match node:
        case ast.Compare(ops=[operator]) | ast.BoolOp(op=operator) | ast.BinOp(op=operator) if (
            type(operator) in SWAPPED
        ):
            swapped = SWAPPED[type(operator)]()
            return (
                ast.Compare(node.left, [swapped], node.comparators)
                if isinstance(node, ast.Compare)
                else _with(node, op=swapped)
            )
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.Invert()):
            return node.operand
        case ast.Constant(value=bool(value)):
            return ast.Constant(not value)
        case ast.Constant(value=int(value)):
            return ast.Constant(value + 1)
        case ast.Constant(value=float(value)):
            return ast.Constant(value * 2 if value else 1.0)
        case ast.Attribute(attr=name) if name in TWINS:
            return _with(node, attr=TWINS[name])
    return None


def _with(node: ast.AST, **fields: Any) -> ast.AST:
    return type(node)(**{name: getattr(node, name) for name in node._fields} | fields)


def sites(node: ast.AST) -> Iterator[tuple[ast.AST, str, int | None, ast.AST]]:
    """Every place that can be changed: (parent, field, place in the field's list, changed node).

    Annotations, decorators, messages of errors and what is said in text are left as they are.
    """
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list") or isinstance(
            value, (ast.JoinedStr, ast.Raise)
        ):
            continue
        parts = value if isinstance(value, list) else [value]
        for place, part in enumerate(parts):
            if not isinstance(part, ast.AST) or isinstance(part, (ast.JoinedStr, ast.Raise)):
                continue
            changed = mutated(part)
            if changed is not None:
                yield node, field, place if isinstance(value, list) else None, changed
            yield from sites(part)


def mutants_of(room: str) -> list[Mutant]:
    """All mutants of a room."""
    listed = []
    for file in sorted((SOURCE / "ialp_jax" / ROOMS[room][0]).rglob("*.py")):
        for number, (parent, field, place, changed) in enumerate(
            sites(ast.parse(file.read_text(encoding="utf-8")))
        ):
            before = getattr(parent, field) if place is None else getattr(parent, field)[place]
            listed.append(Mutant(room, str(file.relative_to(ROOT)), number, before.lineno, ast.unparse(before),
                                 ast.unparse(ast.fix_missing_locations(changed))))  # fmt: skip
    return listed


def changed_source(mutant: Mutant) -> str:
    """The text of a mutant's file."""
    tree = ast.parse((ROOT / mutant.file).read_text(encoding="utf-8"))
    parent, field, place, changed = next(
        site for number, site in enumerate(sites(tree)) if number == mutant.site
    )
    if place is None:
        setattr(parent, field, changed)
    else:
        getattr(parent, field)[place] = changed
    return ast.unparse(ast.fix_missing_locations(tree))
