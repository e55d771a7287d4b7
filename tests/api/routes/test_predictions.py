"""The log read back: pages, filters, formats and outcomes."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from api.app import create_app
from db.ids import new_id, timestamp_of
from db.writer.writer import LogWriter
from pipeline.schema import EXAMPLE, NAMES
from settings import Settings
from tests.api.conftest import IN_UCI, PATIENT


def send(client: TestClient, n: int, source: str = "live") -> list[str]:
    """Log n patients of increasing age; return their ids, oldest first."""
    return [
        client.post(f"/predict?source={source}", json=PATIENT | {"age": 30 + i}).json()["id"]
        for i in range(n)
    ]


def test_pages_go_through_the_whole_log_newest_first(client: TestClient) -> None:
    ids = send(client, 7)

    seen: list[str] = []
    cursor: dict[str, Any] = {}
    while True:
        page = client.get("/predictions", params={"limit": 3} | cursor).json()
        seen += [row["id"] for row in page["items"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}

    assert seen == sorted(ids, reverse=True)


def test_a_window_holds_its_start_and_not_its_end(client: TestClient) -> None:
    (only,) = send(client, 1)
    received = timestamp_of(only)
    later = received + timedelta(milliseconds=1)

    def found(since: datetime, until: datetime) -> int:
        window = {"since": since.isoformat(), "until": until.isoformat()}
        return len(client.get("/predictions", params=window).json()["items"])

    assert found(received, later) == 1
    assert found(received - timedelta(days=1), received) == 0
    assert found(later, later + timedelta(days=1)) == 0


def test_a_source_is_chosen_or_all_are_read(client: TestClient) -> None:
    send(client, 2, "live")
    send(client, 3, "what-if")

    counts = [
        len(client.get("/predictions", params=params).json()["items"])
        for params in ({"source": "live"}, {"source": "what-if"}, {"source": "replay"}, {})
    ]

    assert counts == [2, 3, 0, 5]


def test_rows_are_in_words_unless_codes_are_asked_for(client: TestClient) -> None:
    (only,) = send(client, 1)

    words = client.get(f"/predictions/{only}").json()
    codes = client.get(f"/predictions/{only}?coding=uci").json()

    assert {n: words[n] for n in PATIENT} == PATIENT | {"age": 30}
    assert {n: codes[n] for n in PATIENT} == IN_UCI | {"age": 30}


def test_csv_and_jsonl_hold_the_same_rows_as_json(client: TestClient) -> None:
    send(client, 5)
    rows = client.get("/predictions").json()["items"]

    table = client.get("/predictions?format=csv")
    lines = client.get("/predictions?format=jsonl")

    assert table.headers["content-type"].startswith("text/csv")
    assert [r["id"] for r in csv.DictReader(io.StringIO(table.text))] == [r["id"] for r in rows]
    assert [json.loads(line) for line in lines.text.splitlines()] == rows


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=1.5", "limit"),
        ("limit=10&limit=20", "limit"),
        ("since=2026-01-01", "since"),
        ("since=1767225600", "since"),
        ("until=2026-01-01T00:00:00", "until"),
        ("until=2026-02-30T00:00:00Z", "until"),
        ("source=all", "source"),
        ("cursor=x", "cursor"),
        ("format=xml", "format"),
        ("coding=icd", "coding"),
        ("order=asc", "query"),
    ],
)
def test_an_unknown_or_invalid_parameter_is_refused(
    sqlite_client: TestClient, query: str, field: str
) -> None:
    reply = sqlite_client.get(f"/predictions?{query}")

    assert reply.status_code == 422
    assert reply.headers["content-type"] == "application/problem+json"
    assert [error["field"] for error in reply.json()["errors"]] == [field]


@pytest.mark.parametrize(
    "path",
    [
        "/predictions/0",
        "/predictions/0190163d-8694-739b-aea5-966c26f8ad91",
        "/predictions/0190163D-8694-739B-AEA5-966C26F8AD91",
        "/predictions/ffffffff-ffff-7fff-bfff-ffffffffffff",
        "/predictions/%00",
        "/predictions/x/explanation",
        "/nothing",
    ],
)
def test_what_is_not_there_is_404(client: TestClient, path: str) -> None:
    reply = client.get(path)

    assert reply.status_code == 404
    assert reply.headers["content-type"] == "application/problem+json"


def test_the_newest_outcome_counts_and_none_is_erased(client: TestClient) -> None:
    (only,) = send(client, 1)
    url = f"/predictions/{only}/outcome"
    moment = "2026-01-31T08:00:00Z"

    first = client.put(url, json={"outcome": 1, "observed_at": moment})
    second = client.put(url, json={"outcome": 0})

    assert (first.status_code, second.status_code) == (200, 200)
    assert datetime.fromisoformat(first.json()["observed_at"]) == datetime(
        2026, 1, 31, 8, tzinfo=UTC
    )
    assert client.get(f"/predictions/{only}").json()["outcome"] == 0


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"outcome": 2},
        {"outcome": True},
        {"outcome": 0.5},
        {"outcome": "1"},
        {"outcome": None},
        {"outcome": 1, "observed_at": "yesterday"},
        {"outcome": 1, "observed_at": 1767225600},
        {"outcome": 1, "observed_at": "2126-01-01T00:00:00Z"},
        {"outcome": 1, "by": "Smith"},
        [1],
    ],
)
def test_a_wrong_outcome_is_refused(sqlite_client: TestClient, body: Any) -> None:
    (only,) = send(sqlite_client, 1)

    reply = sqlite_client.put(f"/predictions/{only}/outcome", json=body)

    assert reply.status_code == 422
    assert "Smith" not in reply.text
    assert sqlite_client.get(f"/predictions/{only}").json()["outcome"] is None


def test_the_newest_response_counts_and_is_read_exported_and_named(client: TestClient) -> None:
    (only,) = send(client, 1)
    url = f"/predictions/{only}/response"
    said = {"decision": "override", "reason": "unlike-training", "action": "non-invasive-test"}

    first = client.put(url, json={"decision": "agree"})
    second = client.put(url, json=said)

    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json()["reason"] is None
    assert second.json() == {"id": only, **said, "recorded_at": second.json()["recorded_at"]}
    assert client.get(f"/predictions/{only}").json().items() >= said.items()
    header, line = client.get("/predictions?format=csv").text.splitlines()
    assert header.endswith(",outcome,observed_at,decision,reason,action")
    assert line.endswith(",,override,unlike-training,non-invasive-test")


@pytest.mark.parametrize("field", ["decision", "reason", "action"])
def test_a_response_outside_the_lists_is_refused(sqlite_client: TestClient, field: str) -> None:
    (only,) = send(sqlite_client, 1)
    body = {"decision": "agree", field: "Mr Smith"}

    reply = sqlite_client.put(f"/predictions/{only}/response", json=body)

    assert reply.status_code == 422
    assert f"{field} must be one of " in reply.text
    assert "Smith" not in reply.text


def test_an_outcome_of_no_prediction_is_404(client: TestClient) -> None:
    url = "/predictions/0190163d-8694-739b-aea5-966c26f8ad91/outcome"

    assert client.put(url, json={"outcome": 1}).status_code == 404


@pytest.fixture
def of_another_model(sqlite_url: str, model_dir: Path) -> Iterator[Callable[[str], TestClient]]:
    """The service on a log whose one row was scored by a model with another scorecard."""

    async def store(scorecard: str) -> None:
        log = LogWriter(sqlite_url)
        await log.start()
        await log.register_model("0123456789ab", scorecard)
        id_, source = new_id(), "live"
        scored = (0.5, 1, 0.5, "0123456789ab", 1.0)
        await log.append([(id_, source, *EXAMPLE, *scored, None, None, None)])
        await log.stop()

    with ExitStack() as stack:

        def client(scorecard: str) -> TestClient:
            asyncio.run(store(scorecard))
            app = create_app(Settings(database_url=sqlite_url, model_dir=model_dir))
            return stack.enter_context(TestClient(app, base_url="http://127.0.0.1"))

        yield client


def explanation_of_the_one_row(client: TestClient) -> httpx.Response:
    (row,) = client.get("/predictions").json()["items"]
    return client.get(f"/predictions/{row['id']}/explanation")


def test_a_prediction_is_explained_by_the_features_of_the_model_that_made_it(
    of_another_model: Callable[[str], TestClient], model_dir: Path
) -> None:
    card = json.loads((model_dir / "scorecard.json").read_text())
    del card["features"]["chol"], card["background"]["chol"], card["training_range"]["chol"]
    keep = [i for i, n in enumerate(card["interval"]["columns"]) if not n.startswith("chol")]
    card["interval"]["columns"] = [card["interval"]["columns"][i] for i in keep]
    card["interval"]["sets"] = [[s[i] for i in keep] for s in card["interval"]["sets"]]
    card.pop("joint_points", None)

    explained = explanation_of_the_one_row(of_another_model(json.dumps(card)))

    named = [part["feature"] for part in explained.json()["explanation"]["contributions"]]
    assert named == [name for name in NAMES if name != "chol"]


def test_a_scorecard_that_cannot_be_read_is_a_problem_that_says_so(
    of_another_model: Callable[[str], TestClient],
) -> None:
    reply = explanation_of_the_one_row(of_another_model("{}"))

    assert reply.status_code == 409
    assert reply.json()["type"].endswith("model-unreadable")
    assert "scorecard" in reply.json()["detail"]


GET_PATHS = [
    "/predictions", "/predictions?format=csv", "/model", "/schema", "/healthz", "/readyz",
    "/metrics", "/docs", "/openapi.json",
]  # fmt: skip


@pytest.mark.parametrize("path", GET_PATHS)
def test_head_answers_as_get_does_without_a_body(sqlite_client: TestClient, path: str) -> None:
    send(sqlite_client, 3)

    got, head = sqlite_client.get(path), sqlite_client.head(path)

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == got.headers["content-type"]


def test_head_is_refused_where_get_is(sqlite_client: TestClient) -> None:
    assert sqlite_client.head("/predict").status_code == 405
    assert sqlite_client.head("/predictions/nonsense").status_code == 404
    assert sqlite_client.head(f"/predictions/{new_id()}/outcome").status_code == 405


def test_the_model_says_whom_it_was_trained_on(sqlite_client: TestClient) -> None:
    model = sqlite_client.get("/model").json()

    assert model["training"]["n"] == 303
    assert "Cleveland" not in model["meaning"]
