"""What is refused, in which words, and that nothing of it is kept or repeated."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.wire.query_params import PREDICT_PARAMS, parse_query
from api.wire.validation_errors import patient_errors
from db.migrate import migrate
from pipeline.dataset.heart import Coding
from settings import Settings
from tests.api.conftest import PATIENT
from tests.foreign_files import kaggle_bodies

JSON = {"Content-Type": "application/json"}


def patient(**changes: Any) -> bytes:
    return json.dumps(PATIENT | changes).encode()


def raw(name: str, literal: str) -> bytes:
    """A patient with one value written exactly as given."""
    return json.dumps(PATIENT | {name: "@"}).replace('"@"', literal).encode()


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> Iterator[TestClient]:
    """The service on SQLite for all that is refused, of which nothing stays."""
    url = f"sqlite:///{tmp_path_factory.mktemp('refusing')}/log.db"
    migrate(url, lambda _: None)
    app = create_app(Settings(database_url=url, model_dir=model_dir))
    with TestClient(app, base_url="http://127.0.0.1") as client:
        yield client


WRONG_VALUES = [
    ("age", raw("age", "-5"), "from 18 to 120 years"),
    ("age", raw("age", "1e308"), "from 18 to 120 years"),
    ("age", raw("age", '"63"'), "not a number"),
    ("age", raw("age", "true"), "not a number"),
    ("age", raw("age", "null"), "required"),
    ("age", raw("age", "[63]"), "not a number"),
    ("sex", raw("sex", "1"), "?coding=uci or ?coding=kaggle"),
    ("sex", raw("sex", '"Male"'), '"female", "male"'),
    ("sex", raw("sex", '"\\ud800"'), '"female", "male"'),
    ("cp", raw("cp", "99"), "?coding=uci or ?coding=kaggle"),
    ("cp", raw("cp", '"angina"'), 'not a known value; send one of "typical angina"'),
    ("trestbps", raw("trestbps", "0"), "send null"),
    ("trestbps", raw("trestbps", "14.5"), "mm Hg is expected"),
    ("chol", raw("chol", "0"), "send null"),
    ("chol", raw("chol", "5.2"), "looks like mmol/l; mg/dl is expected"),
    ("chol", raw("chol", "1001"), "from 30 to 1000 mg/dl"),
    ("fbs", raw("fbs", "1"), "?coding=uci or ?coding=kaggle"),
    ("fbs", raw("fbs", '"yes"'), "true or false"),
    ("thalach", raw("thalach", "251"), "from 30 to 250 beats/min"),
    ("oldpeak", raw("oldpeak", "10.1"), "from -5 to 10 mm"),
    ("ca", raw("ca", "1.5"), "not a whole number"),
    ("ca", raw("ca", "4"), "0, 1, 2, 3"),
    ("ca", raw("ca", "9" * 500), "0, 1, 2, 3"),
    ("thal", raw("thal", "{}"), '"reversible defect"'),
]


@pytest.mark.parametrize(("field", "body", "words"), WRONG_VALUES)
def test_a_wrong_value_is_named_with_what_is_allowed(
    refusing: TestClient, field: str, body: bytes, words: str
) -> None:
    reply = refusing.post("/predict", content=body, headers=JSON)

    assert reply.status_code == 422
    assert reply.headers["content-type"] == "application/problem+json"
    assert [error["field"] for error in reply.json()["errors"]] == [field]
    assert words in reply.json()["errors"][0]["message"]


WHOLE_BODIES = {
    "nothing": b"",
    "not JSON": b"age=63",
    "an array": b"[]",
    "a number": b"63",
    "null": b"null",
    "NaN": raw("age", "NaN"),
    "Infinity": raw("age", "Infinity"),
    "minus infinity": raw("oldpeak", "-Infinity"),
    "an overflowing number": raw("age", "1e400"),
    "a 5,000-digit number": raw("age", "6" * 5000),
    "a key twice": patient()[:-1] + b', "age": 64}',
    "a key twice, once escaped": patient()[:-1] + b', "\\u0061ge": 64}',
    "an unknown key": patient(name="Smith"),
    "a lone surrogate as a key": patient()[:-1] + b', "\\ud800": 1}',
    "UTF-16": patient().decode().encode("utf-16"),
    "two byte order marks": b"\xef\xbb\xbf" * 2 + patient(),
    "broken UTF-8": patient().replace(b"male", b"m\xffle"),
    "deep nesting": b"[" * 50_000,
    "deep objects": b'{"a":' * 10_000,
    "a trailing comma": patient()[:-1] + b",}",
    "two objects": patient() + patient(),
    "a comment": patient() + b" // x",
    "single quotes": patient().replace(b'"', b"'"),
}


@pytest.mark.parametrize("body", WHOLE_BODIES.values(), ids=WHOLE_BODIES.keys())
@pytest.mark.parametrize("path", ["/predict", "/predict?coding=uci", "/predict?coding=kaggle"])
def test_a_hostile_body_is_refused_in_a_small_reply(
    refusing: TestClient, path: str, body: bytes
) -> None:
    reply = refusing.post(path, content=body, headers=JSON)

    assert reply.status_code == 422
    assert len(reply.json()["errors"]) >= 1
    assert len(reply.content) <= 4096
    assert refusing.get("/predictions").json()["items"] == []


def test_no_rejection_repeats_what_was_sent(refusing: TestClient) -> None:
    secret = "Smith-1957"
    body = dict.fromkeys(PATIENT, secret) | {secret: secret}

    for path in ("/predict", f"/predict?coding={secret}", f"/predict?{secret}=1"):
        reply = refusing.post(path, json=body)
        assert reply.status_code == 422
        assert secret not in reply.text


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("coding=UCI", "coding"),
        ("coding=uci&coding=kaggle", "coding"),
        ("coding=", "coding"),
        ("explain=1", "explain"),
        ("source=robot", "source"),
        ("received_at=2020-01-01", "query"),
    ],
)
def test_an_unknown_or_repeated_query_value_is_rejected(
    refusing: TestClient, query: str, field: str
) -> None:
    reply = refusing.post(f"/predict?{query}", json=PATIENT)

    assert reply.status_code == 422
    assert [error["field"] for error in reply.json()["errors"]] == [field]


def test_a_body_over_the_limit_is_413(refusing: TestClient) -> None:
    too_long = b" " * (64 * 1024) + patient()
    chunks = (too_long[i : i + 8192] for i in range(0, len(too_long), 8192))

    announced = refusing.post("/predict", content=too_long, headers=JSON)
    streamed = refusing.post("/predict", content=chunks, headers=JSON)
    batch = refusing.post("/predict/batch", content=b" " * 1024 * 1024 + b"[]", headers=JSON)

    assert [reply.status_code for reply in (announced, streamed, batch)] == [413, 413, 413]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
)
def test_what_is_not_plain_json_is_415(refusing: TestClient, headers: dict[str, str]) -> None:
    assert refusing.post("/predict", content=patient(), headers=headers).status_code == 415


def test_rejections_are_counted_without_values(sqlite_client: TestClient) -> None:
    service = sqlite_client.app.service  # type: ignore[attr-defined]
    for _ in range(3):
        sqlite_client.post("/predict", json=PATIENT | {"chol": 5.2})

    deadline = time.monotonic() + 10
    while not (rows := service.reader.rejections(since=None)) and time.monotonic() < deadline:
        time.sleep(0.1)

    (row,) = rows
    assert (row["route"], row["status"], row["field"], row["reason"], row["count"]) == (
        "/predict", 422, "chol", "unit", 3,
    )  # fmt: skip
    assert "5.2" not in str(row)


def test_codes_may_be_floats_as_a_data_frame_gives_them(sqlite_client: TestClient) -> None:
    replies = [
        sqlite_client.post("/predict?coding=kaggle", json=body) for body in kaggle_bodies(20)
    ]

    assert [reply.status_code for reply in replies] == [200] * 20


@pytest.mark.parametrize("digits", [299, 300, 308, 309, 310, 399, 400, 4000])
def test_an_integer_that_no_float_can_hold_is_a_value_that_is_not_known(digits: int) -> None:
    body = b'{"age": 60, "sex": 1, "cp": 1' + b"0" * digits + b"}"

    assert [(e.field, e.reason) for e in patient_errors(body, Coding.UCI)] == [
        ("cp", "unknown_value")
    ]


def test_a_rejected_query_still_says_under_which_source_it_counts() -> None:
    params = parse_query(b"source=synthetic&coding=x", PREDICT_PARAMS)

    assert ([error.field for error in params.errors], params.source) == (["coding"], "synthetic")
