"""An export of a whole service that loses its log half-way."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient

import api.app
from api.app import create_app
from db.ids import new_id
from settings import Settings
from tests.api.conftest import PATIENT
from tests.programs import free_port, running, wait_for

pytestmark = pytest.mark.slow

LOSING_ITS_LOG = """
import cardiowatch
from db.engine import DatabaseUnavailable
from db.reader.queries import Reader

page = Reader.page

def first_page(self, *, limit, cursor, **window):
    if cursor is not None:
        raise DatabaseUnavailable("It is gone.")
    return page(self, limit=1, **window)

Reader.page = first_page
cardiowatch.main(["api"])
"""
"""The service on a log that can be read up to its first row."""


@pytest.mark.parametrize(("turns", "status"), [(0, 503), (1, 200)])
def test_readers_take_turns_that_end_when_the_answer_begins(
    sqlite_url: str, model_dir: Path, monkeypatch: pytest.MonkeyPatch, turns: int, status: int
) -> None:
    monkeypatch.setattr(api.app, "_TURNS", turns)
    monkeypatch.setattr(api.app, "_TURN_S", 0.05)
    service = create_app(Settings(database_url=sqlite_url, model_dir=model_dir))
    with TestClient(service, base_url="http://127.0.0.1") as client:
        for path in ("", "?format=csv", f"/{new_id()}", ""):
            answer = client.get(f"/predictions{path}")
            assert answer.status_code == (404 if status == 200 and "-" in path else status)
            assert ("retry-after" in answer.headers) == (status == 503)
            assert status == 200 or answer.json()["title"] == "Service Unavailable"
        assert client.get("/schema").status_code == 200


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_an_export_that_cannot_continue_is_truncated_and_the_reason_is_one_line(
    sqlite_url: str, model_dir: Path, form: str
) -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    settings = {"api_port": port, "database_url": sqlite_url, "model_dir": model_dir}
    with running("-c", LOSING_ITS_LOG, **settings) as api:
        wait_for(f"{address}/readyz", api)
        for _ in range(2):
            httpx.post(f"{address}/predict", json=PATIENT, trust_env=False).raise_for_status()
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(f"{address}/predictions?format={form}", trust_env=False)
        api.terminate()
        printed = api.communicate(timeout=40)[0]

    (line,) = printed.splitlines()
    assert "export truncated" in line
    assert "It is gone." in line
