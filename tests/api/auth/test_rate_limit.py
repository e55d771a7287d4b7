"""What one key may do, how often, and what is written down of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.auth import rate_limit
from api.auth.api_keys import read_keys
from api.auth.rate_limit import BURST_S, RateLimiter
from api.wire.problems import Problem
from settings import Settings
from tests.api.conftest import PATIENT, add_key


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(rate_limit, "monotonic", lambda: now[0])
    return now


def taken(limiter: RateLimiter, key: str, times: int) -> int:
    """Return how many of these requests were allowed."""
    allowed = 0
    for _ in range(times):
        try:
            limiter.acquire(key)
            allowed += 1
        except Problem:
            continue
    return allowed


def test_a_key_may_sustain_its_rate_and_burst_for_two_seconds_of_it(clock: list[float]) -> None:
    limiter = RateLimiter(10)

    assert taken(limiter, "a", 100) == 10 * BURST_S
    clock[0] += 1.0
    assert taken(limiter, "a", 100) == 10
    clock[0] += 3600
    assert taken(limiter, "a", 100) == 10 * BURST_S


def test_a_slow_rate_says_how_long_to_wait(clock: list[float]) -> None:
    limiter = RateLimiter(0.1)  # one in ten seconds: more than a burst holds
    limiter.acquire("a")
    with pytest.raises(Problem) as refused:
        limiter.acquire("a")

    assert (refused.value.status, refused.value.headers["Retry-After"]) == (429, "10")
    clock[0] += 10
    limiter.acquire("a")


@pytest.fixture
def paced(sqlite_url: str, model_dir: Path, keys_file: Path) -> Iterator[TestClient]:
    """The service where a key may ask twice a second."""
    add_key(keys_file, "read")
    settings = Settings(
        database_url=sqlite_url, model_dir=model_dir, keys_file=keys_file, key_rate=2
    )
    with TestClient(create_app(settings), base_url="http://api:8000") as client:
        yield client


def test_a_key_above_its_rate_limit_is_told_when_to_retry_and_others_are_not(
    paced: TestClient, keys_file: Path
) -> None:
    busy, quiet = add_key(keys_file, "predict"), add_key(keys_file, "predict")
    paced.app.service.keys._next_check = 0  # type: ignore[attr-defined]

    replies = [paced.post("/predict", json=PATIENT, headers=busy) for _ in range(12)]
    refused = [reply for reply in replies if reply.status_code == 429]

    assert [reply.status_code for reply in replies[:4]] == [200] * 4
    assert refused
    assert all(reply.headers["Retry-After"] == "1" for reply in refused)
    assert refused[0].headers["content-type"] == "application/problem+json"
    assert paced.post("/predict", json=PATIENT, headers=quiet).status_code == 200
    assert paced.get("/healthz").status_code == 200


def test_requests_without_the_role_count_towards_the_rate_limit(
    paced: TestClient, keys_file: Path
) -> None:
    reader = add_key(keys_file, "read")
    paced.app.service.keys._next_check = 0  # type: ignore[attr-defined]

    replies = [paced.post("/predict", json=PATIENT, headers=reader) for _ in range(12)]

    assert [reply.status_code for reply in replies[:4]] == [403] * 4
    assert 429 in [reply.status_code for reply in replies]


def test_each_read_is_logged_with_the_id_of_the_key_and_nothing_of_its_text(
    paced: TestClient,
    keys_file: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader = add_key(keys_file, "read")
    paced.app.service.keys._next_check = 0  # type: ignore[attr-defined]
    lines = logging.getLogger("cardiowatch.uses")
    monkeypatch.setattr(lines, "propagate", True)
    with caplog.at_level(logging.INFO, logger=lines.name):
        paced.get("/predictions?limit=1&x=%0a1970-01-01 key 00000000: GET /", headers=reader)

    (line,) = [record.getMessage() for record in caplog.records if record.name == lines.name]
    assert line == f"key {read_keys(keys_file)[1].id}: GET /predictions?limit&*"
    assert "\n" not in line
    assert reader["Authorization"].removeprefix("Bearer ") not in line
