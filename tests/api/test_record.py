"""Who asked about whom: the key's id in the row, the patient's reference as an HMAC alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from sqlalchemy import select, update
from starlette.testclient import TestClient

from api.app import create_app
from api.auth.api_keys import create_key, edit_keys
from db.audit.chain_heads import heads_path
from db.audit.seal_key import SealKey, create_seal_key
from db.engine import open_engine, session, transaction
from db.migrate import migrate
from db.schema import outcomes, predictions, responses
from db.verify import verify_log
from settings import Settings
from tests.api.conftest import PATIENT, add_key
from tests.programs import free_port, invoke, run

NAMED = {"Patient-Reference": "ward 3, bed 7"}


@pytest.fixture
def sealed(database_url: str, model_dir: Path, key: SealKey) -> Iterator[TestClient]:
    """The service with a key to seal its log."""
    settings = Settings(database_url=database_url, model_dir=model_dir, log_hmac_key_file=key.path)
    with TestClient(create_app(settings), base_url="http://127.0.0.1") as client:
        yield client


def patients(url: str) -> list[bytes | None]:
    with session(open_engine(url)) as connection:
        return list(connection.scalars(select(predictions.c.patient).order_by(predictions.c.id)))


def patients_by_id(url: str) -> dict[str, bytes | None]:
    with session(open_engine(url)) as connection:
        found = connection.execute(select(predictions.c.id, predictions.c.patient))
        return {str(id_): patient for id_, patient in found}


def test_what_the_service_writes_verifies_with_its_heads(
    sealed: TestClient, database_url: str, key: SealKey
) -> None:
    for body in (PATIENT, PATIENT | {"thal": None, "oldpeak": -0.0}):
        id_ = sealed.post("/predict", json=body).json()["id"]
        sealed.put(f"/predictions/{id_}/outcome", json={"outcome": 1})
    sealed.post("/predict", json=PATIENT | {"age": 1})
    sealed.post("/predict/batch", json=[PATIENT] * 20)
    sealed.__exit__(None, None, None)
    heads = heads_path(key, None)
    assert heads is not None
    verdict = verify_log(database_url, key, [heads])
    assert verdict.findings == []
    assert (verdict.counts["predictions"], verdict.counts["outcomes"]) == (22, 2)


def test_a_patient_s_reference_is_stored_as_an_hmac_alone(
    sealed: TestClient, database_url: str, key: SealKey
) -> None:
    assert sealed.post("/predict", json=PATIENT, headers=NAMED).status_code == 200
    assert sealed.post("/predict/batch", json=[PATIENT] * 2, headers=NAMED).status_code == 200
    assert sealed.post("/predict", json=PATIENT).status_code == 200
    assert patients(database_url) == [key.hash_patient_reference("ward 3, bed 7")] * 3 + [None]
    text = sealed.get("/predictions").text
    assert "patient" not in text
    assert "bed 7" not in text


def test_each_patient_of_a_batch_may_have_a_reference_which_export_and_erasure_find(
    sealed: TestClient, database_url: str, key: SealKey
) -> None:
    batch = [
        PATIENT | {"patient_reference": "ward 3: bed 7"},
        PATIENT | {"patient_reference": None},
        PATIENT,
        PATIENT | {"patient_reference": "MRN:12"},
    ]
    header, first, fourth = map(
        key.hash_patient_reference, ("ward 3, bed 7", "ward 3: bed 7", "MRN:12")
    )

    def stored(**sent: Any) -> list[bytes | None]:
        reply = sealed.post("/predict/batch", json=batch, **sent)
        assert reply.status_code == 200
        found = patients_by_id(database_url)
        ids.extend(item["id"] for item in reply.json()["items"])
        return [found[id_] for id_ in ids[-4:]]

    ids: list[str] = []
    assert stored() == [first, None, None, fourth]
    assert stored(headers=NAMED) == [first, header, header, fourth]  # the item's own comes first
    assert "bed 7" not in sealed.get("/predictions").text
    sealed.__exit__(None, None, None)

    settings = {"database_url": database_url, "log_hmac_key_file": key.path}
    named = ("--patient", "ward 3: bed 7")
    exported = invoke("export", *named, "--format", "jsonl", **settings)
    found = {json.loads(line)["id"] for line in exported.stdout.splitlines()}
    assert found == {ids[0], ids[4]}
    erased = invoke("erase", *named, **settings)
    assert erased.returncode == 0, erased.stderr
    assert first not in patients(database_url)


@pytest.mark.parametrize("reference", ["", " a", "x" * 65, "Müller", "tab\tinside", 7, "\n"])
def test_a_malformed_reference_in_a_batch_is_refused_with_its_place(
    sealed: TestClient, reference: object
) -> None:
    batch = [PATIENT, PATIENT | {"patient_reference": reference}]
    reply = sealed.post("/predict/batch", json=batch)
    assert reply.status_code == 422
    (error,) = reply.json()["errors"]
    assert (error["index"], error["field"]) == (1, "body")
    assert "1 to 64 printable ASCII characters" in error["message"]
    assert sealed.get("/predictions").json()["items"] == []


def test_a_single_patient_has_its_reference_in_the_header_alone(sealed: TestClient) -> None:
    reply = sealed.post("/predict", json=PATIENT | {"patient_reference": "a"})
    assert reply.status_code == 422


def test_the_acting_user_is_kept_as_an_hmac_and_sealed_and_found_by_name(
    sealed: TestClient, database_url: str, key: SealKey
) -> None:
    ann, ben = ({"Acting-User": name} for name in ("ann@ward.example", "ben@ward.example"))
    hers = {sealed.post("/predict", json=PATIENT, headers=ann).json()["id"]}
    batch = sealed.post("/predict/batch", json=[PATIENT] * 2, headers=ann).json()["items"]
    hers |= {item["id"] for item in batch}
    sealed.post("/predict", json=PATIENT, headers=ben)
    sealed.post("/predict", json=PATIENT)
    assert "ward.example" not in sealed.get("/predictions").text
    sealed.__exit__(None, None, None)

    assert verify_log(database_url, key).findings == []
    settings = {"database_url": database_url, "log_hmac_key_file": key.path}
    exported = invoke("export", "--actor", "ann@ward.example", "--format", "jsonl", **settings)
    assert {json.loads(line)["id"] for line in exported.stdout.splitlines()} == hers
    with session(open_engine(database_url)) as connection:
        named = connection.scalars(select(predictions.c.actor)).all()
    assert sorted(map(str, named)) == sorted(
        map(str, [key.hash_acting_user("ann@ward.example")] * 3
            + [key.hash_acting_user("ben@ward.example"), None])
    )  # fmt: skip
    with transaction(open_engine(database_url)) as connection:
        connection.execute(
            update(predictions).values(actor=key.hash_acting_user("ben@ward.example"))
        )
    assert len(verify_log(database_url, key).findings) == 4


def test_whoever_responds_is_kept_as_an_hmac_and_the_response_is_sealed(
    sealed: TestClient, database_url: str, key: SealKey
) -> None:
    id_ = sealed.post("/predict", json=PATIENT).json()["id"]
    url, ann = f"/predictions/{id_}/response", {"Acting-User": "ann@ward.example"}
    sealed.put(url, json={"decision": "agree"}, headers=ann)
    said = sealed.put(url, json={"decision": "override", "reason": "other"}, headers=ann)
    assert "ward.example" not in said.text + sealed.get("/predictions").text
    sealed.__exit__(None, None, None)

    with session(open_engine(database_url)) as connection:
        named = connection.scalars(select(responses.c.actor)).all()
    assert named == [key.hash_acting_user("ann@ward.example")] * 2
    verdict = verify_log(database_url, key)
    assert (verdict.counts["responses"], verdict.findings) == (2, [])
    for changed in ({"actor": None}, {"reason": "doubtful-finding"}, {"action": "none"}):
        with transaction(open_engine(database_url)) as connection:
            connection.execute(update(responses).values(changed))
        findings = verify_log(database_url, key).findings
        assert len(findings) == 2
        assert all(finding.startswith("response ") for finding in findings)


def test_a_key_without_the_role_names_nobody_as_the_one_who_responds(
    guarded: Callable[[], TestClient], keys_file: Path
) -> None:
    key = add_key(keys_file, "predict")
    client = guarded()
    id_ = client.post("/predict", json=PATIENT, headers=key).json()["id"]
    url, body = f"/predictions/{id_}/response", {"decision": "agree"}
    replies = [
        client.put(url, json=body, headers=key | also) for also in ({"Acting-User": "a"}, {})
    ]
    assert [reply.status_code for reply in replies] == [403, 200]


def test_another_user_may_not_reuse_an_idempotency_key(sealed: TestClient) -> None:
    once = {"Idempotency-Key": "k"}
    first = sealed.post("/predict", json=PATIENT, headers=once | {"Acting-User": "ann"})
    again = sealed.post("/predict", json=PATIENT, headers=once | {"Acting-User": "ann"})
    other = sealed.post("/predict", json=PATIENT, headers=once | {"Acting-User": "ben"})
    assert first.content == again.content
    assert other.status_code == 409


@pytest.mark.parametrize("name", ["", "x" * 65, "M\u00fcller"])
def test_a_malformed_acting_user_is_refused(sealed: TestClient, name: str) -> None:
    header = {b"Acting-User": name.encode("latin-1")}
    reply = sealed.post("/predict", json=PATIENT, headers=header)
    assert reply.status_code == 422
    assert "Acting-User takes 1 to 64" in reply.json()["errors"][0]["message"]


def test_a_log_without_a_key_keeps_no_acting_user(client: TestClient) -> None:
    reply = client.post("/predict", json=PATIENT, headers={"Acting-User": "ann"})
    assert reply.status_code == 422
    assert "LOG_HMAC_KEY_FILE" in reply.json()["errors"][0]["message"]


@pytest.mark.parametrize(
    ("roles", "status"), [(("predict",), 403), (("predict", "on-behalf"), 200)]
)
def test_only_a_key_with_the_role_on_behalf_names_a_user(
    tmp_path: Path, model_dir: Path, sqlite_url: str, key: SealKey, roles: tuple[str, ...],
    status: int,
) -> None:  # fmt: skip
    migrate(sqlite_url, lambda _: None)
    header = add_key(tmp_path / "keys.json", *roles) | {"Acting-User": "ann"}
    settings = Settings(
        database_url=sqlite_url, model_dir=model_dir, log_hmac_key_file=key.path,
        keys_file=tmp_path / "keys.json",
    )  # fmt: skip
    with TestClient(create_app(settings), base_url="http://api:8000") as client:
        assert client.post("/predict", json=PATIENT, headers=header).status_code == status
        assert client.post("/predict/batch", json=[PATIENT], headers=header).status_code == status


def test_a_key_that_is_repeated_beside_a_reference_is_refused(sealed: TestClient) -> None:
    one = json.dumps(PATIENT | {"patient_reference": "a:b"})
    body = f'[{one[:-1]}, "age": 64}}]'
    reply = sealed.post(
        "/predict/batch", content=body, headers={"Content-Type": "application/json"}
    )
    assert reply.status_code == 422


@pytest.mark.parametrize(
    "reference", [b"", b"x" * 65, "Müller".encode(), b"tab\tinside", b"\x7f", b"a ", b" "]
)
def test_a_malformed_reference_is_refused_without_repeating_it_as_documented(
    sealed: TestClient, reference: bytes
) -> None:
    reply = sealed.post("/predict", json=PATIENT, headers={b"Patient-Reference": reference})
    assert reply.status_code == 422
    assert "1 to 64 printable ASCII characters" in reply.json()["errors"][0]["message"]
    assert sealed.get("/predictions").json()["items"] == []
    for path in ("/predict", "/predict/batch"):
        parameters = sealed.get("/openapi.json").json()["paths"][path]["post"]["parameters"]
        (schema,) = [p["schema"] for p in parameters if p["name"] == "Patient-Reference"]
        assert not Draft202012Validator(schema).is_valid(reference.decode())
        assert Draft202012Validator(schema).is_valid(NAMED["Patient-Reference"])


def test_two_references_are_refused(sealed: TestClient) -> None:
    twice = [("Patient-Reference", "a"), ("Patient-Reference", "b")]
    assert sealed.post("/predict", json=PATIENT, headers=twice).status_code == 400


def test_a_service_without_a_key_refuses_a_reference_and_says_why(client: TestClient) -> None:
    reply = client.post("/predict", json=PATIENT, headers=NAMED)
    assert reply.status_code == 422
    assert "LOG_HMAC_KEY_FILE" in reply.json()["errors"][0]["message"]


def test_an_idempotency_key_is_not_reused_for_another_patient(sealed: TestClient) -> None:
    once = {"Idempotency-Key": "visit-1"}
    first = sealed.post("/predict", json=PATIENT, headers=NAMED | once)
    assert sealed.post("/predict", json=PATIENT, headers=NAMED | once).json() == first.json()
    other = {"Patient-Reference": "somebody else"}
    assert sealed.post("/predict", json=PATIENT, headers=other | once).status_code == 409
    assert sealed.post("/predict", json=PATIENT, headers=once).status_code == 409


def test_both_headers_are_documented(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    for path in ("/predict", "/predict/batch"):
        names = {each["name"] for each in paths[path]["post"]["parameters"]}
        assert {"Patient-Reference", "Idempotency-Key"} <= names


def test_a_row_names_the_api_key_that_asked(
    database_url: str, model_dir: Path, tmp_path: Path
) -> None:
    path = tmp_path / "keys.json"
    with edit_keys(path) as keys:
        made, text = create_key("ward 3", ("admin",))
        keys.append(made)
    settings = Settings(database_url=database_url, model_dir=model_dir, keys_file=path)
    sent = {"Authorization": f"Bearer {text}"}
    with TestClient(create_app(settings), headers=sent) as client:
        id_ = client.post("/predict", json=PATIENT).json()["id"]
        client.put(f"/predictions/{id_}/outcome", json={"outcome": 1})
        assert client.get(f"/predictions/{id_}").json()["key_id"] == made.id
        assert f",{made.id}," in client.get("/predictions?format=csv").text
    with session(open_engine(database_url)) as connection:
        assert connection.scalars(select(outcomes.c.key_id)).all() == [made.id]


def test_an_open_service_names_no_key(client: TestClient) -> None:
    id_ = client.post("/predict", json=PATIENT).json()["id"]
    assert client.get(f"/predictions/{id_}").json()["key_id"] is None


def test_a_key_that_cannot_be_used_ends_the_start_in_one_line(
    sqlite_url: str, tmp_path: Path, model_dir: Path
) -> None:
    bad = tmp_path / "bad.key"
    for content in (None, "not a key"):
        if content is not None:
            bad.write_text(content)
        ended = run(
            "-m", "api", database_url=sqlite_url, model_dir=model_dir, log_hmac_key_file=bad,
            api_port=free_port(),
        )  # fmt: skip
        assert ended.returncode == 4
        assert str(bad) in ended.stderr
        assert ended.stderr.count("\n") == 1


def test_a_sealed_log_is_not_served_without_its_key(
    sqlite_url: str, tmp_path: Path, model_dir: Path
) -> None:
    beside = tmp_path / "log.db.key"
    create_seal_key(beside)
    with TestClient(
        create_app(Settings(database_url=sqlite_url, model_dir=model_dir)),
        base_url="http://127.0.0.1",
    ) as client:
        assert client.post("/predict", json=PATIENT).status_code == 200
    beside.unlink()
    ended = run("-m", "api", database_url=sqlite_url, model_dir=model_dir, api_port=free_port())
    assert ended.returncode == 4
    assert "This log is sealed" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_patients_rows_are_found_by_the_reference_alone(sealed: TestClient) -> None:
    one, other = ({"Patient-Reference": f"hospital-{i}"} for i in (1, 2))
    sent = [sealed.post("/predict", json=PATIENT, headers=named) for named in (one, other, one)]

    found = sealed.post("/predictions/search", json={"patient_reference": "hospital-1"}).json()

    ids = [reply.json()["id"] for reply in sent]
    assert [row["id"] for row in found["items"]] == [ids[2], ids[0]]
    assert found["items"][0]["sex"] == PATIENT["sex"]
    assert "hospital-1" not in str(found)


@pytest.mark.parametrize("body", [{}, {"patient_reference": 7}, {"patient_reference": "\u00e9"}])
def test_a_search_without_a_reference_is_refused(sealed: TestClient, body: object) -> None:
    reply = sealed.post("/predictions/search", json=body)
    assert reply.status_code == 422
    assert reply.json()["errors"][0]["field"] == "body"
