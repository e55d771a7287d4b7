"""One patient, or a thousand: answered only when the rows are in the log."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.api.conftest import IN_KAGGLE, IN_UCI, PATIENT


def logged(client: TestClient) -> list[dict[str, Any]]:
    return client.get("/predictions", params={"limit": 1000}).json()["items"]


def test_an_answer_is_a_row_in_the_log(client: TestClient) -> None:
    answer = client.post("/predict", json=PATIENT).json()

    row = client.get(f"/predictions/{answer['id']}").json()

    assert {name: row[name] for name in PATIENT} == PATIENT
    same = ("id", "probability", "prediction", "threshold", "model_version")
    assert {name: row[name] for name in same} == {name: answer[name] for name in same}
    assert row["source"] == "live"
    assert row["outcome"] is None


def test_the_answer_has_the_documented_keys_and_no_other(sqlite_client: TestClient) -> None:
    answer = sqlite_client.post("/predict", json=PATIENT).json()

    assert set(answer) == {
        "id", "prediction", "probability", "threshold", "model_version", "missing", "warnings",
    }  # fmt: skip
    assert answer["prediction"] == int(answer["probability"] >= answer["threshold"])
    assert answer["missing"] == []


@pytest.mark.parametrize(("coding", "body"), [("uci", IN_UCI), ("kaggle", IN_KAGGLE)])
def test_the_three_codings_of_one_patient_get_one_answer(
    sqlite_client: TestClient, coding: str, body: dict[str, Any]
) -> None:
    labels = sqlite_client.post("/predict", json=PATIENT).json()
    coded = sqlite_client.post(f"/predict?coding={coding}", json=body).json()
    as_floats = {name: float(value) for name, value in body.items()}
    floats = sqlite_client.post(f"/predict?coding={coding}", json=as_floats).json()

    assert coded["probability"] == labels["probability"] == floats["probability"]
    first, second, third = logged(sqlite_client)
    assert {n: first[n] for n in PATIENT} == {n: third[n] for n in PATIENT} == PATIENT
    assert second["cp"] == "typical angina"


def test_an_absent_and_a_null_value_are_both_unknown(sqlite_client: TestClient) -> None:
    absent = {name: value for name, value in PATIENT.items() if name not in ("ca", "thal")}
    null = PATIENT | {"ca": None, "thal": None}

    answers = [sqlite_client.post("/predict", json=body).json() for body in (absent, null)]

    assert answers[0]["missing"] == answers[1]["missing"] == ["ca", "thal"]
    assert answers[0]["probability"] == answers[1]["probability"]


def test_kaggle_codes_for_missing_are_unknown(sqlite_client: TestClient) -> None:
    body = IN_KAGGLE | {"ca": 4, "thal": 0}

    answer = sqlite_client.post("/predict?coding=kaggle", json=body).json()

    assert answer["missing"] == ["ca", "thal"]


def test_an_unusual_value_is_answered_with_a_warning(sqlite_client: TestClient) -> None:
    answer = sqlite_client.post("/predict", json=PATIENT | {"age": 82, "thalach": 190}).json()

    sentences = [(warning["field"], warning["message"]) for warning in answer["warnings"]]
    assert ("age", "unusually high: above 77 years") in sentences
    # 220 - 82 + 36 = 174
    assert ("thalach", "unusually high: above 174 beats/min") in sentences
    assert any(field == "age" and "has not seen" in text for field, text in sentences)


def test_contributions_and_base_value_add_up_to_the_probability(sqlite_client: TestClient) -> None:
    answer = sqlite_client.post("/predict?explain=true", json=PATIENT | {"ca": None}).json()

    explanation = answer["explanation"]
    total = explanation["base_value"] + sum(
        part["contribution"] for part in explanation["contributions"]
    )
    assert explanation["scale"] == "log-odds"
    assert 1 / (1 + math.exp(-total)) == pytest.approx(answer["probability"], abs=1e-12)
    low, high = answer["interval"]
    assert low <= answer["probability"] <= high
    values = {part["feature"]: part["value"] for part in explanation["contributions"]}
    assert values == PATIENT | {"ca": None}


def test_an_answer_with_unknown_findings_says_how_far_they_could_move_it(
    sqlite_client: TestClient,
) -> None:
    partial = PATIENT | {"thal": None, "ca": None}
    answer = sqlite_client.post("/predict?explain=true", json=partial).json()

    low, high = answer["unknown_range"]
    assert low < answer["probability"] < high
    assert answer["most_informative"] in ("thal", "ca")
    later = sqlite_client.get(f"/predictions/{answer['id']}/explanation").json()
    assert later["unknown_range"] == answer["unknown_range"]
    full = sqlite_client.post("/predict?explain=true", json=PATIENT).json()
    assert full.keys().isdisjoint({"unknown_range", "most_informative"})


def test_a_byte_order_mark_before_the_body_is_ignored(sqlite_client: TestClient) -> None:
    body = json.dumps(PATIENT).encode("utf-8-sig")
    reply = sqlite_client.post(
        "/predict", content=body, headers={"Content-Type": "application/json"}
    )

    assert reply.status_code == 200
    assert (
        reply.json()["probability"]
        == sqlite_client.post("/predict", json=PATIENT).json()["probability"]
    )


def test_an_old_prediction_is_explained_as_it_was_answered(client: TestClient) -> None:
    answer = client.post("/predict?explain=true", json=PATIENT).json()

    later = client.get(f"/predictions/{answer['id']}/explanation").json()

    assert later["explanation"] == answer["explanation"]
    assert later["interval"] == answer["interval"]


@pytest.mark.parametrize("source", ["live", "what-if", "synthetic", "replay", "load-test"])
def test_the_source_is_kept(sqlite_client: TestClient, source: str) -> None:
    sqlite_client.post(f"/predict?source={source}", json=PATIENT)

    assert [row["source"] for row in logged(sqlite_client)] == [source]


def test_a_batch_is_answered_in_its_order(client: TestClient) -> None:
    ages = [30, 50, 70, 40, 60]

    items = client.post("/predict/batch", json=[PATIENT | {"age": age} for age in ages]).json()

    by_id = {row["id"]: row["age"] for row in logged(client)}
    assert [by_id[item["id"]] for item in items["items"]] == ages


def test_a_batch_answers_each_patient_as_a_single_call_does(sqlite_client: TestClient) -> None:
    single = sqlite_client.post("/predict", json=PATIENT).json()

    item = sqlite_client.post("/predict/batch", json=[PATIENT]).json()["items"][0]

    assert item | {"id": ""} == single | {"id": ""}


def test_one_wrong_patient_refuses_the_whole_batch(client: TestClient) -> None:
    batch = [PATIENT] * 30 + [PATIENT | {"age": 5}] * 25

    reply = client.post("/predict/batch", json=batch)

    assert reply.status_code == 422
    assert reply.json()["total"] == 25
    assert [error["index"] for error in reply.json()["errors"]] == list(range(30, 50))
    assert logged(client) == []


@pytest.mark.parametrize("size", [0, 1001])
def test_a_batch_holds_1_to_1000_patients(sqlite_client: TestClient, size: int) -> None:
    reply = sqlite_client.post("/predict/batch", json=[{"age": 50, "sex": "male"}] * size)

    assert reply.status_code == 422
    assert "1 to 1,000" in reply.json()["errors"][0]["message"]


def test_a_retry_gets_the_first_answer_and_adds_no_row(client: TestClient) -> None:
    key = {"Idempotency-Key": "visit-42"}

    first = client.post("/predict", json=PATIENT, headers=key)
    again = client.post("/predict", json=PATIENT, headers=key)

    assert again.content == first.content
    assert len(logged(client)) == 1


def test_an_idempotency_key_is_refused_for_another_patient(client: TestClient) -> None:
    key = {"Idempotency-Key": "visit-42"}
    client.post("/predict", json=PATIENT, headers=key)

    reply = client.post("/predict", json=PATIENT | {"age": 64}, headers=key)

    assert reply.status_code == 409
    assert len(logged(client)) == 1


def test_metrics_count_what_was_answered(sqlite_client: TestClient) -> None:
    def counted() -> float:
        lines = sqlite_client.get("/metrics").text.splitlines()
        wanted = "predictions_total{prediction="
        return sum(float(line.split()[-1]) for line in lines if line.startswith(wanted))

    before = counted()
    sqlite_client.post("/predict", json=PATIENT)
    sqlite_client.post("/predict/batch", json=[PATIENT] * 3)
    sqlite_client.post("/predict", json={})

    assert counted() == before + 4


def test_an_overloaded_service_rejects_a_request_before_it_is_read(
    sqlite_client: TestClient,
) -> None:
    shedder = sqlite_client.app.service.load_shedder  # type: ignore[attr-defined]
    tokens = [shedder.admit(now=-1e9) for _ in range(200)]
    rejected = sqlite_client.post("/predict", content=b"unread")
    for token in tokens:
        shedder.release(token)

    assert (rejected.status_code, rejected.headers["Retry-After"]) == (503, "1")
    assert rejected.json()["type"] == "urn:cardiowatch:problem:busy"
    assert sqlite_client.post("/predict", json=PATIENT).status_code == 200
