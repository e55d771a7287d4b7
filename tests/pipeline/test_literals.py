"""Only `pipeline.dataset.heart` and the schema know which study and which features there are."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from pipeline.schema import NAMES
from tests.programs import ROOT

PRODUCT = ("api", "dashboard", "db", "perf", "pipeline")
ALLOWED = ("pipeline/schema.py", "pipeline/dataset/heart/", "db/migrations/")
ENGLISH = {"age", "sex", "slope"}
"""Features whose names are words of the language, too: only the bare name counts."""
WORDS = re.compile(
    r"\b(Cleveland|303|UCI|Kaggle|coronary|thirteen|" + "|".join(set(NAMES) - ENGLISH) + r")\b"
)


def literals(source: str) -> Iterator[str]:
    """Yield the strings of a program, without its docstrings."""
    tree = ast.parse(source)
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone:
            yield node.value


def names_the_study(text: str) -> bool:
    return bool(WORDS.search(text)) or text in ENGLISH - {"slope"}  # a scorecard's lines have one


def files() -> Iterator[Path]:
    for folder in PRODUCT:
        yield from (ROOT / folder).rglob("*.py")
    yield from ROOT.glob("*.py")


def test_no_other_literal_names_the_study_or_a_feature() -> None:
    found = {
        path
        for file in files()
        if not (path := file.relative_to(ROOT).as_posix()).startswith(ALLOWED)
        and any(map(names_the_study, literals(file.read_text("utf-8"))))
    }
    assert found == set()


def test_docstrings_and_identifiers_may_name_them_and_literals_may_not() -> None:
    assert [*literals('"""Of Cleveland."""\nchol = 1\n')] == []
    source = "print(f'{n} of 303', 'chol', 'sex', 'average')"
    assert {t for t in literals(source) if names_the_study(t)} == {" of 303", "chol", "sex"}
