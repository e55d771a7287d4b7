"""`CARDIOWATCH_SERVER=uvicorn`: what the service promises holds on uvicorn as it is, too."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from db.migrate import migrate
from db.reader.queries import Reader
from tests.api.conftest import PATIENT
from tests.api.test_program import logged, under_load
from tests.programs import free_port, running, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = f"sqlite:///{tmp_path_factory.mktemp('stock')}/log.db"
    migrate(url, lambda _: None)
    return url


@pytest.fixture(scope="module")
def client(url: str, model_dir: Path) -> Iterator[httpx.Client]:
    """A client of the service on stock uvicorn."""
    port = free_port()
    settings = {"api_port": port, "database_url": url, "model_dir": model_dir}
    with running("-m", "api", **settings, server="uvicorn") as api:
        wait_for(f"http://127.0.0.1:{port}/readyz", api)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            yield client


def rows(url: str) -> int:
    return len(logged(url))


def test_it_is_uvicorns_own_connection_that_answers(client: httpx.Client) -> None:
    reply = client.get("/healthz", headers={"X-Long": "x" * 20_000})  # ours ends at 16 KiB

    assert reply.status_code == 200


def test_a_reply_means_a_row(client: httpx.Client, url: str) -> None:
    reply = client.post("/predict?explain=true", json=PATIENT)

    assert reply.status_code == 200
    with closing(Reader(url)) as reader:
        row = reader.get(reply.json()["id"])
    assert row is not None
    assert row["probability"] == reply.json()["probability"]


def test_a_batch_is_answered_in_its_order(client: httpx.Client, url: str) -> None:
    before = rows(url)

    ages = [40, 70, 50]
    reply = client.post("/predict/batch", json=[PATIENT | {"age": age} for age in ages])

    with closing(Reader(url)) as reader:
        found = [reader.get(item["id"]) for item in reply.json()["items"]]
    assert [row and row["age"] for row in found] == ages
    assert rows(url) == before + 3


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"json": PATIENT | {"age": 7}}, 422),
        ({"content": "age=63"}, 415),
        ({"json": PATIENT, "headers": {"Origin": "https://elsewhere.example"}}, 403),
        ({"content": b" " * 70_000, "headers": {"Content-Type": "application/json"}}, 413),
    ],
)
def test_a_refusal_is_a_problem_and_no_row(
    client: httpx.Client, url: str, sent: dict[str, object], status: int
) -> None:
    before = rows(url)

    reply = client.post("/predict", **sent)  # type: ignore[arg-type]

    assert reply.status_code == status
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["status"] == status
    assert rows(url) == before


def test_the_metrics_count_what_was_answered(client: httpx.Client) -> None:
    def predictions() -> float:
        lines = client.get("/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line[:18] == "predictions_total{")

    before = predictions()
    client.post("/predict", json=PATIENT)

    assert predictions() == before + 1


def test_on_sigterm_what_was_answered_is_logged_and_the_end_is_a_success(
    sqlite_url: str, model_dir: Path
) -> None:
    port = free_port()
    settings = {"api_port": port, "database_url": sqlite_url, "model_dir": model_dir}
    with (
        running("-m", "api", **settings, server="uvicorn") as service,
        under_load(service, port) as answered,
    ):
        service.send_signal(signal.SIGTERM)
        assert service.wait(30) == 0

    assert set(answered) <= logged(sqlite_url)
