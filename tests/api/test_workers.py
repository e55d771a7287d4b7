"""Three API processes on one PostgreSQL: what they count together, and what two do at once."""

from __future__ import annotations

import os
import re
import signal
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from db.audit.seal_key import SealKey
from db.engine import open_engine, session
from db.reader.queries import Reader
from db.schema import outcomes, writers
from db.verify import verify_log
from perf.load.scratch import start_service
from perf.load.server_process import Server
from tests.api.conftest import PATIENT
from tests.deploy.patroni import wait_until

pytestmark = pytest.mark.slow

WORKERS, CLIENTS = 3, 12


class Service:
    """The running service, called over a new connection each time, which any worker may take."""

    def __init__(self, server: Server, url: str) -> None:
        self.server, self.url = server, url

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        with httpx.Client(trust_env=False, timeout=30) as client:
            return client.request(method, f"http://127.0.0.1:{self.server.port}{path}", **options)

    def predict(self, **headers: str) -> httpx.Response:
        return self.call("POST", "/predict", json=PATIENT, headers=headers)

    def chains(self) -> int:
        """Return how many processes have written."""
        with session(open_engine(self.url)) as connection:
            return connection.scalar(select(func.count()).select_from(writers)) or 0

    def counted(self, name: str) -> int:
        text = self.call("GET", "/metrics").text
        return round(sum(map(float, re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.M))))


@pytest.fixture
def service(
    postgres_url: str, key: SealKey, model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Service]:
    monkeypatch.setenv("CARDIOWATCH_MODEL_DIR", str(model_dir))
    options = {"api_workers": WORKERS, "log_hmac_key_file": key.path, "log_timeout_s": 20}
    with start_service(postgres_url, **options) as server:
        yield Service(server, postgres_url)
    assert verify_log(postgres_url, key).findings == []


def at_once(n: int, call: Callable[[int], httpx.Response]) -> list[httpx.Response]:
    with ThreadPoolExecutor(CLIENTS) as clients:
        return list(clients.map(call, range(n)))


def test_metrics_are_the_sum_of_all_workers_and_of_those_that_were_killed(service: Service) -> None:
    sent = 0

    def send_until(chains: int) -> int:
        sent = 0
        while service.chains() < chains:
            answers = at_once(60, lambda _: service.predict())
            assert {answer.status_code for answer in answers} == {200}
            sent += 60
        return sent

    sent += send_until(WORKERS)
    refused = at_once(30, lambda _: service.call("POST", "/predict", json={"age": -1}))
    assert {answer.status_code for answer in refused} == {422}
    supervisor = service.server.process_id
    before = set(service.server.processes())
    children = {*map(int, _children(supervisor))}
    workers = {one for one in children if "spawn_main" in _command(one)}
    assert len(workers) == WORKERS
    os.kill(min(workers), signal.SIGKILL)
    wait_until(lambda: bool(set(service.server.processes()) - before), 60, lambda: "no new worker")
    sent += send_until(WORKERS + 1)

    seen = at_once(CLIENTS, lambda _: service.call("GET", "/metrics"))
    assert len({_predictions(answer.text) for answer in seen}) == 1
    assert service.counted("predictions_total") == sent
    assert service.counted("refusals_total") == len(refused)
    assert service.counted("prediction_latency_seconds_count") == sent
    with closing(Reader(service.url)) as reader:
        assert reader.sources()["live"] == sent


def test_a_key_that_many_workers_claim_at_once_is_one_row(service: Service) -> None:
    keys = [str(uuid.uuid4()) for _ in range(20)]

    answers = at_once(
        20 * CLIENTS, lambda i: service.predict(**{"Idempotency-Key": keys[i // CLIENTS]})
    )

    assert {answer.status_code for answer in answers} == {200}
    ids = Counter(answer.json()["id"] for answer in answers)
    assert sorted(ids.values()) == [CLIENTS] * len(keys)
    with closing(Reader(service.url)) as reader:
        assert {row["id"] for row in reader.stream()} == set(ids)
    other = service.call(
        "POST", "/predict", json=PATIENT | {"age": 20}, headers={"Idempotency-Key": keys[0]}
    )
    assert other.status_code == 409


def test_outcomes_that_many_workers_record_at_once_are_kept_and_the_newest_counts(
    service: Service,
) -> None:
    predicted = service.predict().json()["id"]
    path = f"/predictions/{predicted}"

    answers = at_once(
        10 * CLIENTS, lambda i: service.call("PUT", f"{path}/outcome", json={"outcome": i % 2})
    )

    assert {answer.status_code for answer in answers} == {200}
    c = outcomes.c
    wanted = select(c.id, c.outcome).where(c.prediction_id == predicted).order_by(c.id)
    with session(open_engine(service.url)) as connection:
        stored = connection.execute(wanted).all()
    assert 2 <= len(stored) <= len(answers)
    assert service.call("GET", path).json()["outcome"] == stored[-1].outcome


def _predictions(text: str) -> tuple[str, ...]:
    return tuple(sorted(re.findall(r"^predictions_total.*$", text, re.M)))


def _children(process: int) -> list[str]:
    return Path(f"/proc/{process}/task/{process}/children").read_text().split()


def _command(process: int) -> str:
    return Path(f"/proc/{process}/cmdline").read_text()
