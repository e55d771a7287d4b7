"""A new feature touches the schema, one migration and the data, and nothing else.

In a copy of the source tree a boolean and a number with a unit are added, over a log that today's
programs wrote; every program of the copy then does its work.
"""

from __future__ import annotations

import csv
import json
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.api.conftest import PATIENT
from tests.browser.conftest import FLAGS, chromium_path, enter, new_context, settled
from tests.programs import ROOT, environment, free_port, running, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.browser]

SOURCES = (
    "api", "dashboard", "data", "db", "pipeline", "cardiowatch.py", "errors.py", "logs.py",
    "settings.py",
)  # fmt: skip

SCHEMA = """
    Feature(
        "smoker", "Smoker", Kind.BOOLEAN, 0, 1, codes=_YES_NO, section="Imaging", example=1,
        sensitive=True,
    ),
    Feature(
        "bmi", "Body mass index", Kind.NUMBER, 10, 80, "kg/m2", step=0.1, usual_low=15,
        usual_high=60, section="Imaging", example=24.5,
    ),
)

NAMES: tuple[str, ...]"""

MIGRATION = '''"""Smoking and the body mass index."""

import sqlalchemy as sa
from alembic import op

revision = "{after}"
down_revision = "{before}"


def upgrade() -> None:
    _add("smoker", sa.SmallInteger(), "smoker = 0 OR smoker = 1")
    _add("bmi", sa.Double(), "bmi BETWEEN 10 AND 80")


def _add(name: str, kind: sa.types.TypeEngine, rule: str) -> None:
    check = sa.CheckConstraint(rule, name=op.f(f"ck_predictions_{{name}}"))
    op.add_column("predictions", sa.Column(name, kind, check))
'''

NEW = PATIENT | {"smoker": True, "bmi": 31.5}


@dataclass
class Programs:
    """The programs of a source tree with a model."""

    folder: Path
    models: Path

    def command(self, *arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "cardiowatch", *arguments],
            cwd=self.folder, env=environment(model_dir=self.models, **settings),
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    def works(self, *arguments: str, **settings: object) -> str:
        done = self.command(*arguments, **settings)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    @contextmanager
    def served(self, **settings: object) -> Iterator[httpx.Client]:
        port = free_port()
        address = f"http://127.0.0.1:{port}"
        program = "-m", "cardiowatch", "api"
        settings = {"model_dir": self.models, "api_port": port, **settings}
        with running(*program, cwd=self.folder, **settings) as api:
            wait_for(f"{address}/readyz", api)
            with httpx.Client(base_url=address, trust_env=False) as client:
                yield client

    @contextmanager
    def shown(self, **settings: object) -> Iterator[str]:
        """Start the dashboard; give its address."""
        port = free_port()
        address = f"http://127.0.0.1:{port}"
        settings = {"model_dir": self.models, "dashboard_port": port, **settings}
        with running("-m", "cardiowatch", "dashboard", cwd=self.folder, **settings) as server:
            wait_for(f"{address}/_stcore/health", server)
            yield address


PAGES = ("explanations", "fairness", "model", "drift")


def said(page: Page, address: str) -> str:
    page.goto(address)
    settled(page)
    return page.text_content("body") or ""


def enter_new(page: Page, address: str) -> None:
    """Fill the form with the two features, and ask for an estimate."""
    page.goto(f"{address}/patient")
    enter(page, PATIENT)
    page.locator("[data-name=bmi]").get_by_role("textbox").fill("31.5")
    page.locator("[data-name=smoker]").get_by_role("radio", name="yes", exact=True).check()
    page.get_by_role("button", name="Estimate risk").click()
    expect(page.get_by_role("heading", name="Explanation")).to_be_visible()


@pytest.fixture(scope="module")
def today(model_dir: Path) -> Programs:
    return Programs(ROOT, model_dir)


@pytest.fixture(scope="module")
def later(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    """The copy with the two features: its schema, one migration and the data."""
    folder = tmp_path_factory.mktemp("later") / "cardiowatch"
    folder.mkdir()
    add_features(folder)
    programs = Programs(folder, folder / "var" / "models")
    programs.works("train", "--seeds", "2")
    return programs


def add_features(folder: Path) -> None:
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    schema = folder / "pipeline" / "schema.py"
    before, after = schema.read_text().split("\n)\n\nNAMES: tuple[str, ...]")
    schema.write_text(before + SCHEMA + after)
    migrations = folder / "db" / "migrations" / "versions"
    before = max(path.name for path in migrations.glob("[0-9]*.py"))[:4]
    after = f"{int(before) + 1:04}"
    text = MIGRATION.format(before=before, after=after)
    (migrations / f"{after}_smoking.py").write_text(text)
    _write_data(folder / "data" / "heart.csv")


def _write_data(path: Path) -> None:
    chance = random.Random(1)  # noqa: S311
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["smoker"] = str(int(chance.random() < 0.2 + 0.3 * int(row["disease"])))
        row["bmi"] = f"{chance.gauss(26 + 2 * int(row['disease']), 3):.1f}"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> dict[str, Any]:
    key = tmp_path / "seal.key"
    key.write_text("5" * 64)
    key.chmod(0o600)
    return {"database_url": database_url, "log_hmac_key_file": key}


@pytest.fixture
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=FLAGS)
        yield new_context(browser).new_page()
        browser.close()


def test_a_new_feature_is_known_everywhere_and_the_log_of_before_stays_valid(
    today: Programs, later: Programs, settings: dict[str, Any], page: Page
) -> None:
    today.works("migrate", **settings)
    with today.served(**settings) as api:
        old = api.post("/predict?explain=true", json=PATIENT).json()

    later.works("migrate", **settings)
    later.works("verify", **settings)
    with later.served(**settings) as api:
        new = api.post("/predict?explain=true", json=NEW).json()
        schema = api.get("/schema").json()
        explained = [api.get(f"/predictions/{e['id']}/explanation").json() for e in (old, new)]
        with later.shown(**settings, api_url=api.base_url) as address:
            enter_new(page, address)
            pages = {name: said(page, f"{address}/{name}") for name in PAGES}
            by_smoking = said(page, f"{address}/fairness?by=Smoker")
    exported = later.works("export", "--format", "jsonl", **settings).splitlines()
    end = datetime.now(UTC) + timedelta(minutes=1)
    later.works("monitor", "--until", end.isoformat(), **settings)
    later.works("verify", **settings)

    assert {"smoker", "bmi"} < {each["name"] for each in schema["features"]}
    for answer, again in zip((old, new), explained, strict=True):
        assert again == {name: answer[name] for name in again}
    rows = [json.loads(line) for line in exported]
    assert [(row["smoker"], row["bmi"]) for row in rows] == [
        (True, 31.5), (True, 31.5), (None, None)
    ]  # fmt: skip
    assert {name for name, text in pages.items() if "body mass index" not in text.lower()} == {
        "fairness"
    }
    for text in (*pages.values(), by_smoking):
        assert "smoker" in text.lower()
    assert "Fairness by smoker" in pages["model"]
    assert "Smoker: yes minus smoker: no" in by_smoking


def test_what_an_older_program_writes_after_a_rollback_verifies(
    today: Programs, later: Programs, settings: dict[str, Any]
) -> None:
    later.works("migrate", **settings)
    with later.served(**settings) as api:
        api.post("/predict", json=NEW).raise_for_status()
    with today.served(**settings) as api:
        api.post("/predict", json=PATIENT).raise_for_status()
    removed = today.command("erase", "--patient", "bed 7", **settings)

    later.works("verify", **settings)
    assert (removed.returncode, removed.stdout) == (4, "")
    assert "a newer program sealed columns that this one does not know" in removed.stderr


DRIFT = """
import numpy as np
from pipeline.drift import classify, compare
from pipeline.schema import FEATURES, NAMES

chance = np.random.default_rng(1)


def draw(n):
    columns = [chance.choice(f.values or np.linspace(f.low, f.high, 50), n) for f in FEATURES]
    return np.column_stack(columns)


before, now = draw(150), draw(150)
now[:, NAMES.index("bmi")] += 20
print(compare(before, now).drifted[0], classify(before, now).importances[0].feature)
"""


def test_drift_and_its_classifier_see_a_change_of_a_new_feature(later: Programs) -> None:
    command = [sys.executable, "-c", DRIFT]
    found = subprocess.run(
        command, cwd=later.folder, capture_output=True, text=True, check=True, env=environment()
    )
    assert found.stdout.split() == ["bmi", "bmi"]
