"""The calls that describe the service, its health, and who may call."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from time import monotonic, sleep
from unittest.mock import Mock

import pytest
from starlette.testclient import TestClient

from api import metrics
from api.app import create_app
from api.wire.openapi_schemas import patient_schema
from db.engine import open_engine, session
from db.migrate import migrate
from db.writer.file_lock import lock_file
from pipeline.dataset.heart import HOSPITAL, YEARS, Coding
from pipeline.schema import NAMES
from settings import Settings
from tests.api.conftest import PATIENT


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.1:8000", "[::1]:8000"])
def test_this_machine_may_call_by_any_of_its_loopback_names(
    sqlite_client: TestClient, host: str
) -> None:
    assert sqlite_client.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "cardiowatch.example"},
        {"Host": "127.0.0.1.example"},
        {"Host": "localhost.example:8000"},
        {"Host": ""},
        {"Host": "10.0.0.1"},
        {"Host": "localhost", "Origin": "https://example.org"},
        {"Host": "localhost", "Origin": "null"},
        {"Host": "localhost", "Origin": "http://localhost.example"},
    ],
)
def test_another_name_or_a_foreign_page_is_403(
    sqlite_client: TestClient, headers: dict[str, str]
) -> None:
    reply = sqlite_client.post("/predict", json=PATIENT, headers=headers)

    assert reply.status_code == 403
    assert reply.headers["content-type"] == "application/problem+json"
    assert sqlite_client.get("/predictions").json()["items"] == []


def test_ready_names_the_model(sqlite_client: TestClient) -> None:
    ready = sqlite_client.get("/readyz").json()

    assert ready["status"] == "ready"
    assert ready["model_version"] == sqlite_client.get("/model").json()["version"]


def test_the_model_names_whom_it_was_trained_on(sqlite_client: TestClient) -> None:
    found = sqlite_client.get("/model").json()["population"]

    assert found["statement"].startswith(f"303 patients of {HOSPITAL} ({YEARS}): 46 % with disease")
    assert (found["n"], found["n_disease"], found["years"]) == (303, 139, YEARS)


def test_concurrent_readiness_calls_share_one_check(
    sqlite_client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = sqlite_client.app.service  # type: ignore[attr-defined]
    writes = Mock(wraps=parts.writer.ping)
    monkeypatch.setattr(parts.writer, "ping", writes)

    async def ask_at_once() -> list[dict[str, str]]:
        return await asyncio.gather(*(parts.check_ready() for _ in range(40)))

    assert sqlite_client.portal is not None
    replies = sqlite_client.portal.call(ask_at_once)

    assert {reply["status"] for reply in replies} == {"ready"}
    assert writes.call_count == 1
    assert sqlite_client.get("/readyz").status_code == 200
    assert writes.call_count == 2


def test_a_database_that_is_not_migrated_is_alive_and_not_ready(
    tmp_path: Path, model_dir: Path
) -> None:
    (tmp_path / "log.db").touch()
    url = f"sqlite:///{tmp_path}/log.db"
    app = create_app(Settings(database_url=url, model_dir=model_dir))
    with TestClient(app, base_url="http://127.0.0.1") as client:
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").status_code == 503
        reply = client.post("/predict", json=PATIENT)
        assert reply.status_code == 503
        assert int(reply.headers["Retry-After"]) >= 1
        assert client.get("/predictions").status_code == 503
        assert client.get("/predictions?format=csv").status_code == 503


def test_a_waiting_service_whose_log_another_process_writes_to_waits_for_that_too(
    tmp_path: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setattr("api.service._RETRY_S", 0.05)
    url = f"sqlite:///{tmp_path}/log.db"
    settings = Settings(database_url=url, model_dir=model_dir)
    with TestClient(create_app(settings), base_url="http://127.0.0.1") as client:
        lock = lock_file(open_engine(url))
        assert lock is not None
        with closing(lock):
            migrate(url, lambda _: None)
            wait_until(lambda: "Another process is writing to" in caplog.text)
        wait_until(lambda: client.get("/readyz").status_code == 200)


def test_a_database_with_a_catalogue_that_no_migration_made_is_not_served_until_it_is_put_right(
    database_url: str, model_dir: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setattr("api.service._RETRY_S", 0.05)
    with session(open_engine(database_url)) as connection:
        connection.exec_driver_sql("CREATE INDEX mine ON predictions (age)")
    app = create_app(Settings(database_url=database_url, model_dir=model_dir))
    with TestClient(app, base_url="http://127.0.0.1") as client:
        assert client.post("/predict", json=PATIENT).status_code == 503
        assert "mine" in caplog.text
        assert "run cardiowatch verify" in caplog.text
        with session(open_engine(database_url)) as connection:
            connection.exec_driver_sql("DROP INDEX mine")
        wait_until(lambda: client.get("/readyz").status_code == 200)


def wait_until(true: Callable[[], bool]) -> None:
    end = monotonic() + 20
    while not true():
        assert monotonic() < end
        sleep(0.05)


def test_a_model_file_that_is_changed_is_alive_and_not_ready(
    sqlite_url: str, tmp_path: Path, model_dir: Path
) -> None:
    folder = tmp_path / "models"
    shutil.copytree(model_dir, folder)
    with TestClient(
        create_app(Settings(database_url=sqlite_url, model_dir=folder)), base_url="http://127.0.0.1"
    ) as client:
        scorecard = folder / "scorecard.json"
        scorecard.write_bytes(scorecard.read_bytes().replace(b"0", b"1", 1))

        reply = client.get("/readyz")

        assert client.get("/healthz").status_code == 200
    assert reply.status_code == 503
    assert "model" in reply.json()["detail"]


def test_a_log_that_cannot_be_written_is_alive_and_not_ready_and_the_service_log_says_why(
    database_url: str, model_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(database_url=database_url, model_dir=model_dir, log_timeout_s=0.3)
    with TestClient(create_app(settings), base_url="http://127.0.0.1") as client:
        with session(open_engine(database_url)) as holder:
            on_sqlite = database_url.startswith("sqlite")
            holder.exec_driver_sql("BEGIN IMMEDIATE" if on_sqlite else "BEGIN")
            if not on_sqlite:
                holder.exec_driver_sql("LOCK TABLE predictions, rejections, idempotency")
            locked = [client.get("/readyz"), client.post("/predict", json=PATIENT)]
            locked += [client.post("/predict", json=PATIENT) for _ in range(3)]
            why = "database is locked" if on_sqlite else "canceling statement due to"
            wait_until(lambda: why in caplog.text)
            holder.exec_driver_sql("ROLLBACK")
        wait_until(lambda: client.get("/readyz").status_code == 200)
        freed = client.post("/predict", json=PATIENT)

    assert [reply.status_code for reply in locked] == [503] * 5
    assert "log" in locked[0].json()["detail"]
    assert freed.status_code == 200
    failed = [line for line in caplog.messages if line.startswith("request failed: The ")]
    assert failed
    assert all("(The database " in line for line in failed), failed


def test_the_schema_lists_the_thirteen_features_in_their_order(sqlite_client: TestClient) -> None:
    features = sqlite_client.get("/schema").json()["features"]

    assert tuple(feature["name"] for feature in features) == NAMES
    chol = features[4]
    assert (chol["unit"], chol["plausible"], chol["usual"]) == ("mg/dl", [30, 1000], [100, 578])


def test_the_documentation_page_needs_no_other_host(sqlite_client: TestClient) -> None:
    page = sqlite_client.get("/docs").text

    addresses = re.findall(r"""(?:src|href)=["']([^"']+)""", page)
    assert addresses
    assert all(address.startswith("/") for address in addresses)
    assert all(sqlite_client.get(address).status_code == 200 for address in addresses)


def test_every_call_of_the_contract_is_documented_with_its_errors(
    sqlite_client: TestClient,
) -> None:
    document = sqlite_client.get("/openapi.json").json()
    wanted = {
        ("/predict", "post"): {"200", "401", "403", "409", "413", "415", "422", "503"},
        ("/predict/batch", "post"): {"200", "401", "403", "409", "413", "415", "422", "503"},
        ("/predictions", "get"): {"200", "401", "403", "422", "426", "503"},
        ("/predictions/search", "post"): {"200", "401", "403", "413", "415", "422", "503"},
        ("/predictions/{id}", "get"): {"200", "401", "403", "404", "422", "503"},
        ("/predictions/{id}/explanation", "get"): {
            "200", "401", "403", "404", "409", "422", "503",
        },
        ("/predictions/{id}/outcome", "put"): {
            "200", "401", "403", "404", "409", "413", "415", "422", "503",
        },
        ("/predictions/{id}/response", "put"): {
            "200", "401", "403", "404", "409", "413", "415", "422", "503",
        },
        ("/alerts/{id}/acknowledgement", "post"): {
            "200", "401", "403", "404", "413", "415", "422", "503",
        },
        ("/model", "get"): {"200", "401", "403", "422"},
        ("/schema", "get"): {"200", "401", "403", "422"},
        ("/healthz", "get"): {"200", "403", "422"},
        ("/readyz", "get"): {"200", "403", "422", "503"},
        ("/metrics", "get"): {"200", "403", "422"},
    }  # fmt: skip
    documented = {
        (path, method): set(operation["responses"])
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }
    of_connection = {"400", "408", "431"}
    with_keys = {"429"}
    assert documented == {
        call: statuses | of_connection | (with_keys if "401" in statuses else set())
        for call, statuses in wanted.items()
    }


def test_every_reference_in_the_document_leads_somewhere(sqlite_client: TestClient) -> None:
    document = sqlite_client.get("/openapi.json").json()

    named = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))

    assert named <= set(document["components"]["schemas"])


@pytest.mark.parametrize("coding", list(Coding))
def test_the_documented_examples_are_accepted(sqlite_client: TestClient, coding: Coding) -> None:
    example = patient_schema(coding)["example"]

    assert sqlite_client.post(f"/predict?coding={coding}", json=example).status_code == 200


def test_a_method_that_is_not_allowed_is_a_problem_too(sqlite_client: TestClient) -> None:
    reply = sqlite_client.get("/predict")

    assert reply.status_code == 405
    assert reply.json()["title"] == "Method Not Allowed"


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_link_from_another_programs_page_leads_to_the_documentation(
    sqlite_client: TestClient, site: str
) -> None:
    headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}

    assert sqlite_client.get("/docs", headers=headers).status_code == 200
    assert sqlite_client.get("/model", headers=headers).status_code == 403


@pytest.mark.parametrize(
    ("mistake", "method", "path"),
    [
        ("api.routes.predict.predict_row", "POST", "/predict"),
        ("api.routes.predictions.model_metadata", "GET", "/model"),
    ],
)
def test_an_unexpected_error_is_a_500_that_repeats_nothing_and_is_counted(
    sqlite_url: str,
    model_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    mistake: str,
    method: str,
    path: str,
) -> None:
    monkeypatch.setattr(mistake, Mock(side_effect=ZeroDivisionError("Smith-1957")))
    counted = metrics.rejection_counter(path, 500)._value.get()
    app = create_app(Settings(database_url=sqlite_url, model_dir=model_dir))
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        reply = client.request(method, path, json=PATIENT if method == "POST" else None)

    assert reply.status_code == 500
    assert "Smith-1957" not in reply.text
    assert metrics.rejection_counter(path, 500)._value.get() == counted + 1
