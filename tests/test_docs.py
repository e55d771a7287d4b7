"""The docs match the code."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from api.app import create_app
from pipeline.dataset.heart.dictionary import markdown
from settings import Settings

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = (ROOT / "docs" / "settings.md").read_text()
README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()


@pytest.mark.parametrize("name", Settings.model_fields)
def test_each_setting_is_documented_with_its_default(name: str) -> None:
    default = getattr(Settings(), name)

    assert f"| `CARDIOWATCH_{name.upper()}` | `{default}` |" in SETTINGS


def test_no_setting_is_documented_that_does_not_exist() -> None:
    documented = re.findall(r"^\| `CARDIOWATCH_(\w+)`", SETTINGS, re.MULTILINE)

    assert {name.lower() for name in documented} == set(Settings.model_fields)


def test_the_data_dictionary_is_current() -> None:
    if os.environ.get("DICTIONARY") == "write":
        (ROOT / "docs" / "data-dictionary.md").write_text(markdown())

    assert (ROOT / "docs" / "data-dictionary.md").read_text() == markdown()


@pytest.mark.parametrize("target", re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.MULTILINE))
def test_each_make_target_is_in_the_readme(target: str) -> None:
    assert f"`make {target}`" in README


@pytest.mark.parametrize(
    "page", [p for p in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in p]
)
def test_each_link_and_picture_of_the_readme_is_there(page: str) -> None:
    assert (ROOT / page).exists()


def test_each_call_of_the_api_is_in_the_readme(tmp_path: Path, model_dir: Path) -> None:
    settings = Settings(database_url=f"sqlite:///{tmp_path}/log.db", model_dir=model_dir)
    routes = {
        route.path
        for route in create_app(settings).app.routes
        if getattr(route, "include_in_schema", False)
    }

    missing = {path for path in routes if f"`{path}`" not in README and f" {path}`" not in README}

    assert not missing


def test_decision_records_are_short() -> None:
    for record in (ROOT / "docs" / "adr").glob("*.md"):
        assert len(record.read_text().splitlines()) <= 40, record.name


def test_decision_records_are_numbered_without_holes() -> None:
    records = sorted((ROOT / "docs" / "adr").glob("*.md"))

    assert [int(record.name[:4]) for record in records] == list(range(1, len(records) + 1))
    for number, record in enumerate(records, 1):
        assert record.read_text().startswith(f"# {number}. ")


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda page: page.stem)
def test_each_link_of_a_document_is_there(page: Path) -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)", page.read_text()) if "://" not in link]

    assert [link for link in links if not (page.parent / link).exists()] == []


DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_PATH = re.compile(
    r"(?<![\w/.-])((?:api|dashboard|data|db|docs|k8s|perf|pipeline|tests)/[\w./-]*[\w/]|test_\w+\.py)"
)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_each_path_in_a_document_exists(document: Path) -> None:
    paths = set(_PATH.findall(document.read_text()))

    assert {path for path in paths if not (ROOT / path).exists()} == set()
