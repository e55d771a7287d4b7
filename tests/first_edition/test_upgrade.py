"""What the first edition left behind keeps working: its log, key, heads, API keys and model.

`kept.tar.xz` was made by the first edition itself (commit 5ac8662): the same requests to the
service on SQLite (`log.db`) and on PostgreSQL (`postgresql.sql`, by pg_dump), an erasure, then what
it answered (`*.expected.json`). Its keys protect nothing else.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import create_engine, text

from pipeline.model import load
from pipeline.schema import NAMES
from tests.api.conftest import PATIENT, add_key
from tests.programs import free_port, run, running, wait_for

pytestmark = pytest.mark.slow


@dataclass
class Kept:
    """What was left behind, with a database that programs of today open."""

    folder: Path
    name: str
    url: str

    @property
    def settings(self) -> dict[str, object]:
        return {
            "database_url": self.url,
            "model_dir": self.folder / "models",
            "log_hmac_key_file": self.folder / "log.key",
            "log_heads_file": self.heads,
            "keys_file": self.folder / f"{self.name}.keys.json",
        }

    @property
    def heads(self) -> Path:
        return self.folder / f"{self.name}.heads"

    @property
    def expected(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / f"{self.name}.expected.json").read_text())
        return found

    def run(self, *program: str) -> subprocess.CompletedProcess[str]:
        return run("-m", "cardiowatch", *program, **self.settings)

    def verify(self) -> None:
        ended = self.run("verify", "--heads", str(self.heads))
        assert ended.returncode == 0, ended.stdout + ended.stderr

    @contextmanager
    def served(self) -> Iterator[httpx.Client]:
        """The service of today over the old log."""
        key = add_key(self.folder / f"{self.name}.keys.json", "admin")
        port = free_port()
        address = f"http://127.0.0.1:{port}"
        with running("-m", "api", "--migrate", api_port=port, **self.settings) as api:
            wait_for(f"{address}/readyz", api)
            with httpx.Client(base_url=address, headers=key, trust_env=False) as client:
                yield client


@pytest.fixture(params=["sqlite", "postgresql"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Kept:
    with tarfile.open(Path(__file__).with_name("kept.tar.xz")) as archive:
        archive.extractall(tmp_path, filter="data")
    if request.param == "sqlite":
        return Kept(tmp_path, "sqlite", f"sqlite:///{tmp_path}/log.db")
    url: str = request.getfixturevalue("empty_postgres_url")
    psql = shutil.which("psql")
    assert psql, "apt-get install postgresql-client"
    restore = [psql, "--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", "--file=postgresql.sql"]
    subprocess.run([*restore, url.replace("+psycopg", "")], cwd=tmp_path, check=True)
    return Kept(tmp_path, "postgresql", url)


def test_the_log_migrates_and_verifies_with_its_heads(kept: Kept) -> None:
    migrated = kept.run("migrate")

    assert migrated.returncode == 0, migrated.stderr
    kept.verify()


def test_the_log_reads_explains_and_exports_as_it_did(kept: Kept) -> None:
    with kept.served() as client:
        rows = client.get("/predictions?limit=100&coding=uci").json()["items"]
        explanations = {
            id_: client.get(f"/predictions/{id_}/explanation").json()
            for id_ in kept.expected["explanations"]
        }
        exported = client.get("/predictions?format=csv").text

    assert [row | was for row, was in zip(rows, kept.expected["rows"], strict=True)] == rows
    assert explanations == kept.expected["explanations"]
    without_responses = [line.rsplit(",", 3)[0] for line in exported.splitlines()]
    assert without_responses == kept.expected["csv"].splitlines()


def test_the_log_takes_new_rows_and_still_verifies(kept: Kept) -> None:
    with kept.served() as client:
        new = client.post("/predict", json=PATIENT)

    assert new.status_code == 200
    assert new.json()["probability"] == kept.expected["rows"][0]["probability"]
    kept.verify()


def test_a_patient_of_then_is_exported_and_erased_and_the_log_still_verifies(kept: Kept) -> None:
    kept.run("migrate")
    of_patient = "--patient", kept.expected["kept"]
    exported = kept.run("export", *of_patient, "--format", "jsonl")
    erased = kept.run("erase", *of_patient)
    left = kept.run("export", *of_patient, "--format", "jsonl")

    assert len(exported.stdout.splitlines()) == 2, exported.stderr
    assert erased.returncode == 0, erased.stderr
    assert left.stdout == ""
    kept.verify()


def test_a_prediction_of_then_takes_a_response_that_is_exported_and_erased(kept: Kept) -> None:
    kept.run("migrate")
    of_patient = "--patient", kept.expected["kept"]
    exported = kept.run("export", *of_patient, "--format", "jsonl")
    ids = [json.loads(line)["id"] for line in exported.stdout.splitlines()]
    said = {"decision": "override", "reason": "other-findings", "action": "angiography"}
    with kept.served() as client:
        ann = {"Acting-User": "ann@ward.example"}
        replies = [client.put(f"/predictions/{i}/response", json=said, headers=ann) for i in ids]
        new = client.post("/predict", json=PATIENT, headers=ann).json()["id"]
    verified = kept.run("verify", "--heads", str(kept.heads))
    found = kept.run("export", *of_patient, "--format", "jsonl").stdout.splitlines()
    asked = kept.run("export", "--actor", "ann@ward.example", "--format", "jsonl").stdout
    erased = kept.run("erase", *of_patient)

    assert [reply.status_code for reply in replies] == [200, 200]
    assert " and 2 responses of " in verified.stdout, verified.stdout + verified.stderr
    assert all(json.loads(line).items() >= said.items() for line in found)
    assert json.loads(asked)["id"] == new
    assert erased.returncode == 0, erased.stderr
    assert kept.run("export", *of_patient).stdout.count("\n") == 1  # the header
    kept.verify()


def test_the_model_scores_as_it_did(kept: Kept) -> None:
    model = load(kept.folder / "models")
    rows = kept.expected["rows"]
    findings = [tuple(row[name] for name in NAMES) for row in rows]

    assert {row["model_version"] for row in rows} == {model.version}
    assert [model.probability(row) for row in findings] == [row["probability"] for row in rows]


def test_an_altered_row_of_then_is_found(kept: Kept) -> None:
    kept.run("migrate")
    engine = create_engine(kept.url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE predictions SET age = age + 1"))
    engine.dispose()

    assert kept.run("verify").returncode == 1
