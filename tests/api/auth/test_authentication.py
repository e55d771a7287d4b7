"""API keys: what is stored of them, and who is accepted with which."""

from __future__ import annotations

import hashlib
import json
import secrets
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from api.auth.api_keys import ROLES, ApiKeys, create_key
from api.routes.predictions import KEYLESS
from tests.api.conftest import PATIENT, add_key

NEVER_SEEN = "cw_00000000_" + "A" * 43


def test_a_key_is_kept_as_its_sha256_alone(keys_file: Path) -> None:
    sent = add_key(keys_file, "predict")["Authorization"].removeprefix("Bearer ")
    kept = json.loads(keys_file.read_text())["keys"]

    assert kept[0]["sha256"] == hashlib.sha256(sent.encode()).hexdigest()
    assert sent not in keys_file.read_text()


def test_a_key_holds_256_random_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    secret_parts = {create_key("a test", ("read",))[1].split("_", 2)[2] for _ in range(200)}

    assert len(secret_parts) == 200
    assert {len(part) for part in secret_parts} == {43}  # 43 base64 characters: 258 bits
    # 64 characters are possible in a place, 16 in the last; of 200 keys many are seen.
    assert all(len(set(place)) > 8 for place in zip(*secret_parts, strict=True))
    monkeypatch.setattr(secrets, "token_urlsafe", "{} random bytes".format)
    assert create_key("a test", ("read",))[1].endswith("_32 random bytes")


def test_only_its_owner_may_write_the_file(keys_file: Path) -> None:
    add_key(keys_file, "read")

    assert not keys_file.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": f"Bearer {NEVER_SEEN}"},
        {"Authorization": f"Basic {NEVER_SEEN}"},
        {"Authorization": "Bearer " + "x" * 10_000},
        {"Authorization": b"Bearer \xff\xfe"},
    ],
)
def test_without_a_known_key_the_answer_is_401(
    guarded: Callable[[], TestClient], keys_file: Path, headers: dict[str, str]
) -> None:
    add_key(keys_file, "admin")
    reply = guarded().post("/predict", json=PATIENT, headers=headers)

    assert reply.status_code == 401
    assert reply.headers["WWW-Authenticate"] == "Bearer"
    assert reply.headers["content-type"] == "application/problem+json"


def test_every_character_of_a_key_counts(keys_file: Path) -> None:
    text = add_key(keys_file, "read")["Authorization"].removeprefix("Bearer ").encode()
    keyring = ApiKeys(keys_file)

    assert keyring.authenticate(text) is not None
    for place in range(len(text)):
        other = b"A" if text[place : place + 1] != b"A" else b"B"
        assert keyring.authenticate(text[:place] + other + text[place + 1 :]) is None
    assert keyring.authenticate(text[:-1]) is None
    assert keyring.authenticate(text + b"A") is None


@pytest.mark.parametrize("role", ROLES)
def test_a_key_may_do_what_its_role_says_and_no_more(
    guarded: Callable[[], TestClient], keys_file: Path, role: str
) -> None:
    key, admin = add_key(keys_file, role), add_key(keys_file, "admin")
    client = guarded()
    made = client.post("/predict", json=PATIENT, headers=admin).json()["id"]

    answers = {
        "predict": client.post("/predict", json=PATIENT, headers=key).status_code,
        "read": client.get("/predictions", headers=key).status_code,
        "outcome": client.put(
            f"/predictions/{made}/outcome", json={"outcome": 1}, headers=key
        ).status_code,
    }

    assert answers == {name: 200 if role in (name, "admin") else 403 for name in answers}
    assert client.get("/model", headers=key).status_code == 200


def test_probes_and_prometheus_need_no_key(
    guarded: Callable[[], TestClient], keys_file: Path
) -> None:
    add_key(keys_file, "read")
    client = guarded()

    assert [client.get(path).status_code for path in sorted(KEYLESS)] == [200, 200, 200]


def test_every_other_documented_call_needs_one(
    guarded: Callable[[], TestClient], keys_file: Path
) -> None:
    admin = add_key(keys_file, "admin")
    client = guarded()
    paths = client.get("/openapi.json", headers=admin).json()["paths"]
    calls = [(method, path) for path, methods in paths.items() for method in methods]

    answers = {call: client.request(call[0], call[1]).status_code for call in calls}

    assert {path for (_, path), status in answers.items() if status != 401} == KEYLESS
    assert client.get("/docs").status_code == 401


def test_two_callers_never_share_an_idempotency_key(
    guarded: Callable[[], TestClient], keys_file: Path
) -> None:
    first, second = add_key(keys_file, "predict"), add_key(keys_file, "predict")
    client = guarded()
    once = {"Idempotency-Key": "the-same"}

    replies = [
        client.post("/predict", json=PATIENT | {"age": age}, headers=key | once)
        for key, age in ((first, 63), (first, 63), (second, 40))
    ]

    assert [reply.status_code for reply in replies] == [200, 200, 200]
    assert replies[0].json() == replies[1].json()
    assert replies[2].json()["id"] != replies[0].json()["id"]


def test_an_export_by_http_1_0_is_refused_because_it_could_not_show_its_end(
    guarded: Callable[[], TestClient], keys_file: Path
) -> None:
    key = add_key(keys_file, "read")
    service = guarded().app

    async def old(scope: Scope, receive: Receive, send: Send) -> None:
        await service({**scope, "http_version": "1.0"}, receive, send)

    client = TestClient(old, base_url="http://api:8000", headers=key)

    replies = [client.get(f"/predictions?{query}") for query in
               ("format=csv", "format=jsonl", "format=csv&limit=1", "limit=1")]  # fmt: skip

    assert [reply.status_code for reply in replies] == [426, 426, 426, 200]
    assert replies[0].headers["upgrade"] == "HTTP/1.1"
