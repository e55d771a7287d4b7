"""Acknowledging an alert over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from db.reader.queries import Reader
from db.writer.results import MonitoringRun, add_monitoring_run
from tests.api.conftest import add_key

DAY = datetime(2026, 11, 3, tzinfo=UTC)


def open_alert(url: str) -> dict[str, Any]:
    done = MonitoringRun("live", "m", DAY, DAY + timedelta(days=1), "red", "-")
    add_monitoring_run(url, {}, done, version=1)
    return current(url)


def current(url: str) -> dict[str, Any]:
    reader = Reader(url)
    alert = reader.open_alert("live")
    reader.close()
    assert alert is not None
    return alert


def test_an_alert_is_acknowledged_with_a_name_and_a_note(
    client: TestClient, database_url: str
) -> None:
    path = f"/alerts/{open_alert(database_url)['id']}/acknowledgement"
    answer = client.post(path, json={"by": "Ann", "note": "new laboratory"})
    assert answer.status_code == 200
    assert answer.json()["acknowledged_by"] == "Ann"
    found = current(database_url)
    assert (found["acknowledged_by"], found["note"]) == ("Ann", "new laboratory")
    assert client.post(path, json={}).json()["note"] is None  # erased
    assert current(database_url)["acknowledged_by"] == "this machine"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"note": "x" * 201}, "note"),
        ({"note": "two\nlines"}, "note"),
        ({"by": 7}, "by"),
        ({"by": "x" * 65}, "by"),
        ({"status": "green"}, "body"),
    ],
)
def test_what_does_not_fit_is_named(
    sqlite_client: TestClient, body: dict[str, Any], field: str
) -> None:
    answer = sqlite_client.post(
        "/alerts/0199aa00-0000-7000-8000-000000000000/acknowledgement", json=body
    )
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field


@pytest.mark.parametrize("alert_id", ["0199aa00-0000-7000-8000-000000000000", "none"])
def test_an_unknown_alert_is_not_found(sqlite_client: TestClient, alert_id: str) -> None:
    answer = sqlite_client.post(f"/alerts/{alert_id}/acknowledgement", json={})
    assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (404, "no-such-alert")


def test_only_a_key_with_the_role_operate_acknowledges(
    guarded: Callable[[], TestClient], keys_file: Path
) -> None:
    keys = {role: add_key(keys_file, role) for role in ("read", "predict", "operate", "admin")}
    client, path = guarded(), "/alerts/0199aa00-0000-7000-8000-000000000000/acknowledgement"
    assert {
        role: client.post(path, json={}, headers=key).status_code for role, key in keys.items()
    } == {"read": 403, "predict": 403, "operate": 404, "admin": 404}
