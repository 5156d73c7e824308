"""Files and functions stay small enough to be read at once."""

import ast
from pathlib import Path

import ialp_jax

SOURCE = Path(ialp_jax.__file__).parent
MOST_LINES = 300
"""Of a file, fewer than that."""
MOST_STATEMENT_LINES = 40
"""Of a function, from its first statement to its last, without signature and docstring."""


def statement_lines(function):
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def test_no_file_is_long():
    files = {
        str(file.relative_to(SOURCE)): len(file.read_text(encoding="utf-8").splitlines())
        for file in SOURCE.rglob("*.py")
    }
    assert len(files) > 100 and {name: lines for name, lines in files.items() if lines >= MOST_LINES} == {}


def test_no_function_is_long():
    functions = {
        f"{file.relative_to(SOURCE)}: {node.name}": statement_lines(node)
        for file in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }
    assert len(functions) > 1000
    assert {name: lines for name, lines in functions.items() if lines > MOST_STATEMENT_LINES} == {}
