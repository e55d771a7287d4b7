"""Names that were given up for the field's own terms stay given up: `retired_names/PACKAGE.txt`.

A line is `module NAME`, for files and folders, or `name NAME`, for functions, classes, constants,
methods and attributes without an underscore in front.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.programs import ROOT

LISTS = sorted(Path(__file__).with_name("retired_names").glob("*.txt"))


def retired(file: Path) -> set[str]:
    lines = (line.partition("#")[0].strip() for line in file.read_text("utf-8").splitlines())
    return {line for line in lines if line}


def in_use(package: str) -> Iterator[str]:
    """Yield what a package is made of, in the form of the lists."""
    for file in (ROOT / package).rglob("*.py"):
        for part in file.relative_to(ROOT / package).with_suffix("").parts:
            yield f"module {part}"
        for node in ast.parse(file.read_text("utf-8")).body:
            yield from (f"name {name}" for name in _defined(node))


def _defined(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        yield node.name
    elif isinstance(node, ast.ClassDef):
        yield node.name
        for inner in node.body:
            yield from _defined(inner)
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in targets:
            yield from (n.id for n in ast.walk(target) if isinstance(n, ast.Name))


def test_the_lists_are_of_packages_and_well_formed() -> None:
    assert {file.stem for file in LISTS} >= {"api", "dashboard", "db", "perf", "pipeline"}
    for file in LISTS:
        assert retired(file)
        assert {line.split()[0] for line in retired(file)} <= {"module", "name"}


@pytest.mark.parametrize("file", LISTS, ids=lambda file: file.stem)
def test_no_retired_name_is_a_module_or_public_name_any_more(file: Path) -> None:
    assert retired(file) & set(in_use(file.stem)) == set()
