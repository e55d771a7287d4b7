"""An erased patient's values are in no file of the log: searched byte by byte."""

from __future__ import annotations

import sqlite3
import struct
import subprocess
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from db.audit.seal_key import SealKey
from db.engine import open_engine, session
from db.migrate import migrate
from db.verify import verify_log
from db.writer.results import MonitoringRun, add_monitoring_run
from settings import Settings
from tests.api.conftest import PATIENT
from tests.postgres import Cluster
from tests.programs import invoke

REFERENCE = "Zq7-odd/5"
ODD = {"age": 63.71828, "trestbps": 141.31415, "thalach": 151.27182, "oldpeak": 2.34567}
OBSERVED = datetime(1999, 7, 8, 9, 10, 11, 121314, UTC)
NOTE = f"Asked about {REFERENCE.upper()} by telephone"
DAY = datetime(2026, 11, 3, tzinfo=UTC)
OTHERS = 150
"""Patients before and after: pages are split, and answers pass through the log's journal."""


def ask(client: TestClient, number: int, odd: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Have a patient estimated alone and in a batch, with an outcome and a response."""
    headers = {"Patient-Reference": REFERENCE if odd else f"other {number}"}
    headers |= {"Idempotency-Key": f"key {number}".replace(" ", "-")}
    body, query = PATIENT | odd, "?explain=true"
    one = client.post(f"/predict{query}", json=body, headers=headers).json()
    batch = client.post("/predict/batch", json=[body, PATIENT], headers=headers).json()["items"]
    found = [one, *batch]
    for each in found:
        at = OBSERVED.isoformat() if odd else None
        client.put(f"/predictions/{each['id']}/outcome", json={"outcome": 1, "observed_at": at})
        said = {"decision": "override", "reason": "other-findings", "action": "angiography"}
        client.put(f"/predictions/{each['id']}/response", json=said)
    return found


def tell_of_an_alert(client: TestClient, url: str) -> None:
    """Open an alert with a message in the outbox, and acknowledge it with a note."""
    done = MonitoringRun("live", "m", DAY, DAY.replace(day=4), "red", "Input drift.")
    facts = {"verdict": "Input drift.", "n": 50}
    add_monitoring_run(url, {}, done, version=1, facts=facts, receivers=["of nobody"])
    with session(open_engine(url)) as connection:
        id_ = connection.exec_driver_sql("SELECT id FROM alerts").scalar()
    noted = client.post(f"/alerts/{id_}/acknowledgement", json={"note": NOTE})
    assert noted.status_code == 200, noted.text


def traces(key: SealKey, found: list[dict[str, Any]]) -> dict[str, bytes]:
    """Return what a file could hold of the patient, as either database and JSON write it."""
    made = {"reference": REFERENCE.encode(), "in capitals": REFERENCE.upper().encode()}
    made["hash"] = key.hash_patient_reference(REFERENCE)
    made["hash, as a dump writes it"] = made["hash"].hex().encode()
    numbers = ODD | {f"probability {i}": each["probability"] for i, each in enumerate(found[:1])}
    for name, value in numbers.items():
        made |= {f"{name} as text": repr(value).encode()}
        made |= {f"{name} {order}": struct.pack(f"{order}d", value) for order in "<>"}
    for i, each in enumerate(found):
        made |= {f"id {i}": each["id"].encode(), f"id {i} as bytes": UUID(each["id"]).bytes}
    made["observed at"] = b"1999-07-08 09:10:11.121314"
    made["observed at, in microseconds of 2000"] = struct.pack(
        "<q", round((OBSERVED - datetime(2000, 1, 1, tzinfo=UTC)).total_seconds() * 1_000_000)
    )
    return made


def in_files(folder: Path, wanted: Mapping[str, bytes]) -> set[tuple[str, str]]:
    """Return file and trace of all that is found below a folder."""
    content = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {
        (str(path.relative_to(folder)), name)
        for path, held in content.items()
        for name, trace in wanted.items()
        if trace in held
    }


@pytest.fixture
def opened(model_dir: Path, key: SealKey) -> Iterator[Any]:
    """Start the service on a log; it runs until the end of the test."""
    clients = []

    def start(url: str) -> TestClient:
        migrate(url, lambda _: None)
        settings = Settings(database_url=url, model_dir=model_dir, log_hmac_key_file=key.path)
        clients.append(TestClient(create_app(settings), base_url="http://127.0.0.1"))
        return clients[-1].__enter__()

    yield start
    for client in clients:
        client.__exit__(None, None, None)


def lived_in(client: TestClient, url: str, key: SealKey) -> dict[str, bytes]:
    """Write others and the patient, and return the patient's traces."""
    found = []
    for number in range(OTHERS):
        asked = ask(client, number, ODD if number % 30 == 20 else {})
        if number % 30 == 20:
            found += asked
    tell_of_an_alert(client, url)
    return traces(key, found)


def erase(url: str, key: SealKey) -> None:
    erased = invoke("erase", "--patient", REFERENCE, database_url=url, log_hmac_key_file=key.path)
    assert erased.returncode == 0, erased.stderr
    assert erased.stdout == "15 predictions erased, with their outcomes and responses\n"
    verdict = verify_log(url, key)
    assert (verdict.counts["erased"], verdict.findings) == (45, [])


def test_no_file_of_a_sqlite_log_holds_an_erased_patient(
    tmp_path: Path, opened: Any, key: SealKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a SQLite that does not overwrite what it deletes by default, which most do not."""
    connect = sqlite3.connect

    def connect_like_most(*args: Any, **options: Any) -> sqlite3.Connection:
        made: sqlite3.Connection = connect(*args, **options)
        made.execute("PRAGMA secure_delete = OFF")
        return made

    monkeypatch.setattr(sqlite3, "connect", connect_like_most)
    var = tmp_path / "var"
    var.mkdir()
    url = f"sqlite:///{var}/cardiowatch.db"
    wanted = lived_in(opened(url), url, key)
    before = {name for _, name in in_files(var, wanted)}
    assert {"in capitals", "hash", "age >", "age as text", "id 0", "observed at"} <= before

    erase(url, key)

    assert in_files(tmp_path, wanted) == set()


def test_no_dump_and_no_rewritten_table_of_postgresql_holds_an_erased_patient(
    tmp_path: Path, opened: Any, key: SealKey, mortal_server: Cluster
) -> None:
    url = mortal_server.url(mortal_server.new_database())
    wanted = lived_in(opened(url), url, key)
    tables = mortal_server.folder / "data" / "base"

    def dump(name: str) -> None:
        plain = url.replace("+psycopg", "")
        made = subprocess.run(["pg_dump", plain], capture_output=True, check=True).stdout
        (tmp_path / name).write_bytes(made)

    def rewrite() -> None:
        with session(open_engine(url)) as connection:
            connection.exec_driver_sql(REWRITE)
            connection.exec_driver_sql("CHECKPOINT")

    dump("before.sql")
    rewrite()
    in_dump = {name for _, name in in_files(tmp_path, wanted)}
    assert {"in capitals", "hash, as a dump writes it", "age as text", "id 0"} <= in_dump
    assert {"hash", "age <", "id 0 as bytes"} <= {n for _, n in in_files(tables, wanted)}

    erase(url, key)
    (tmp_path / "before.sql").unlink()
    dump("after.sql")
    rewrite()

    assert in_files(tmp_path, wanted) == set()
    assert in_files(tables, wanted) == set()


REWRITE = "VACUUM FULL predictions, outcomes, responses, idempotency, alerts"
"""As docs/record.md says."""


def test_the_page_names_the_command_that_rewrites_the_tables() -> None:
    page = Path(__file__).parents[2] / "docs" / "record.md"
    assert REWRITE in page.read_text("utf-8")
