"""API keys: what is kept of them, who is let in with which, and how they come and go."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from api.keyring import ROLES, Keyring, KeysError, changed, make, read
from api.main import create_app
from api.security import KEYLESS, role_needed
from db.migrate import migrate
from settings import Settings
from tests.api.conftest import PATIENT
from tests.programs import run

NEVER_SEEN = "cw_00000000_" + "A" * 43


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def add(path: Path, *roles: str) -> dict[str, str]:
    """Make a key and return the header that carries it."""
    with changed(path) as keys:
        key, text = make("a test", roles)
        keys.append(key)
    return {"Authorization": f"Bearer {text}"}


@pytest.fixture
def guarded(tmp_path: Path, model_dir: Path, keys_file: Path) -> Iterator[Callable[[], TestClient]]:
    """The service with the keys that are in the file when it is first asked for."""
    url = f"sqlite:///{tmp_path}/log.db"
    migrate(url, lambda _: None)
    opened: list[TestClient] = []

    def client() -> TestClient:
        settings = Settings(database_url=url, model_dir=model_dir, keys_file=keys_file)
        opened.append(TestClient(create_app(settings), base_url="http://api:8000"))
        return opened[-1].__enter__()

    yield client
    for client_ in opened:
        client_.__exit__(None, None, None)


def test_a_key_is_kept_as_its_sha256_alone(keys_file: Path) -> None:
    sent = add(keys_file, "predict")["Authorization"].removeprefix("Bearer ")
    kept = json.loads(keys_file.read_text())["keys"]

    assert kept[0]["sha256"] == hashlib.sha256(sent.encode()).hexdigest()
    assert sent not in keys_file.read_text()


def test_a_key_holds_256_random_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    secret_parts = {make("a test", ("read",))[1].split("_", 2)[2] for _ in range(200)}

    assert len(secret_parts) == 200
    assert {len(part) for part in secret_parts} == {43}  # 43 base64 characters: 258 bits
    # 64 characters are possible in a place, 16 in the last; of 200 keys many are seen.
    assert all(len(set(place)) > 8 for place in zip(*secret_parts, strict=True))
    monkeypatch.setattr(secrets, "token_urlsafe", "{} random bytes".format)
    assert make("a test", ("read",))[1].endswith("_32 random bytes")


def test_only_its_owner_may_write_the_file(keys_file: Path) -> None:
    add(keys_file, "read")

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
    add(keys_file, "admin")
    reply = guarded().post("/predict", json=PATIENT, headers=headers)

    assert reply.status_code == 401
    assert reply.headers["WWW-Authenticate"] == "Bearer"
    assert reply.headers["content-type"] == "application/problem+json"


def test_every_character_of_a_key_counts(keys_file: Path) -> None:
    text = add(keys_file, "read")["Authorization"].removeprefix("Bearer ").encode()
    keyring = Keyring(keys_file)

    assert keyring.find(text) is not None
    for place in range(len(text)):
        other = b"A" if text[place : place + 1] != b"A" else b"B"
        assert keyring.find(text[:place] + other + text[place + 1 :]) is None
    assert keyring.find(text[:-1]) is None
    assert keyring.find(text + b"A") is None


@pytest.mark.parametrize("role", ROLES)
def test_a_key_may_do_what_its_role_says_and_no_more(
    guarded: Callable[[], TestClient], keys_file: Path, role: str
) -> None:
    key, admin = add(keys_file, role), add(keys_file, "admin")
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
    add(keys_file, "read")
    client = guarded()

    assert [client.get(path).status_code for path in sorted(KEYLESS)] == [200, 200, 200]


def test_every_other_documented_call_needs_one(
    guarded: Callable[[], TestClient], keys_file: Path
) -> None:
    admin = add(keys_file, "admin")
    client = guarded()
    paths = client.get("/openapi.json", headers=admin).json()["paths"]
    calls = [(method, path) for path, methods in paths.items() for method in methods]

    answers = {call: client.request(call[0], call[1]).status_code for call in calls}

    assert {path for (_, path), status in answers.items() if status != 401} == KEYLESS
    assert client.get("/docs").status_code == 401


def test_each_call_has_the_role_that_the_settings_page_promises(
    guarded: Callable[[], TestClient], keys_file: Path
) -> None:
    admin = add(keys_file, "admin")
    paths = guarded().get("/openapi.json", headers=admin).json()["paths"]

    assert {
        (m.upper(), p): role_needed(m.upper(), p)
        for p in paths.keys() - KEYLESS for m in paths[p]
    } == {
        ("POST", "/predict"): "predict",
        ("POST", "/predict/batch"): "predict",
        ("GET", "/predictions"): "read",
        ("GET", "/predictions/{id}"): "read",
        ("GET", "/predictions/{id}/explanation"): "read",
        ("PUT", "/predictions/{id}/outcome"): "outcome",
        ("GET", "/model"): None,
        ("GET", "/schema"): None,
    }  # fmt: skip


def test_two_callers_never_share_an_idempotency_key(
    guarded: Callable[[], TestClient], keys_file: Path
) -> None:
    first, second = add(keys_file, "predict"), add(keys_file, "predict")
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
    key = add(keys_file, "read")
    service = guarded().app

    async def old(scope: Scope, receive: Receive, send: Send) -> None:
        await service({**scope, "http_version": "1.0"}, receive, send)

    client = TestClient(old, base_url="http://api:8000", headers=key)

    replies = [client.get(f"/predictions?{query}") for query in
               ("format=csv", "format=jsonl", "format=csv&limit=1", "limit=1")]  # fmt: skip

    assert [reply.status_code for reply in replies] == [426, 426, 426, 200]
    assert replies[0].headers["upgrade"] == "HTTP/1.1"


def wait_until(answer: Callable[[], int], status: int) -> None:
    deadline = time.monotonic() + 10
    while answer() != status:
        assert time.monotonic() < deadline, f"never {status}"
        time.sleep(0.05)


def test_keys_come_and_go_without_a_restart(
    guarded: Callable[[], TestClient], keys_file: Path
) -> None:
    kept = add(keys_file, "read")
    client = guarded()

    late = add(keys_file, "read")
    wait_until(lambda: client.get("/predictions", headers=late).status_code, 200)
    late_id = read(keys_file)[1].id
    assert run("-m", "api.keys", "revoke", late_id, keys_file=keys_file).returncode == 0
    wait_until(lambda: client.get("/predictions", headers=late).status_code, 401)

    assert client.get("/predictions", headers=kept).status_code == 200


def test_a_key_that_is_revoked_through_a_link_is_revoked_in_the_file(
    tmp_path: Path, keys_file: Path
) -> None:
    add(keys_file, "read")
    link = tmp_path / "elsewhere" / "keys.json"
    link.parent.mkdir()
    link.symlink_to(keys_file)

    assert run("-m", "api.keys", "--file", str(link), "revoke", read(keys_file)[0].id).stdout
    assert read(keys_file) == []
    assert link.is_symlink()


def test_a_file_that_breaks_lets_nobody_in_until_it_is_mended(
    guarded: Callable[[], TestClient], keys_file: Path
) -> None:
    key = add(keys_file, "read")
    client, whole = guarded(), keys_file.read_bytes()

    keys_file.write_bytes(whole[:-20])
    wait_until(lambda: client.get("/predictions", headers=key).status_code, 503)
    assert client.get("/readyz").status_code == 503
    keys_file.write_bytes(whole)

    wait_until(lambda: client.get("/predictions", headers=key).status_code, 200)


def look_again(keyring: Keyring) -> None:
    """Ask as if a second had passed."""
    keyring._next_look = 0.0
    keyring.check()


def test_a_file_that_could_not_be_read_for_a_while_is_read_again_though_it_did_not_change(
    keys_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = add(keys_file, "read")["Authorization"].removeprefix("Bearer ").encode()
    keyring = Keyring(keys_file)
    keys_file.touch()

    with monkeypatch.context() as broken:
        broken.setattr(Path, "read_text", Mock(side_effect=PermissionError(13, "denied")))
        with pytest.raises(KeysError):
            look_again(keyring)
        with pytest.raises(KeysError):
            keyring.find(text)
    look_again(keyring)

    assert keyring.find(text) is not None


def test_a_change_of_mode_alone_is_noticed(
    keys_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(keys_file, "read")
    keyring = Keyring(keys_file)

    keys_file.chmod(0o000)
    # Root may read it all the same.
    monkeypatch.setattr(Path, "read_text", Mock(side_effect=PermissionError(13, "denied")))
    with pytest.raises(KeysError):
        look_again(keyring)


STRANGE = {
    "nested": "[" * 200_000,
    "a list for an id": json.dumps({"keys": [{
        "id": ["x"], "name": "", "roles": ["read"], "sha256": "0" * 64, "created_at": ""}]}),
    "a number for a name": json.dumps({"keys": [{
        "id": "a", "name": 1, "roles": ["read"], "sha256": "0" * 64, "created_at": ""}]}),
}  # fmt: skip


@pytest.mark.parametrize("kind", STRANGE)
def test_a_file_that_becomes_strange_lets_nobody_in(keys_file: Path, kind: str) -> None:
    text = add(keys_file, "read")["Authorization"].removeprefix("Bearer ").encode()
    keyring = Keyring(keys_file)

    keys_file.write_text(STRANGE[kind])
    with pytest.raises(KeysError, match=r"python -m api\.keys"):
        look_again(keyring)
    with pytest.raises(KeysError):
        keyring.find(text)


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"keys": [{}]}', '{"keys": 1}',
     '{"keys": [{"id": "a", "name": "", "roles": ["root"], "sha256": "00", "created_at": ""}]}'],
)  # fmt: skip
def test_a_file_that_is_none_of_keys_is_refused_at_the_start(
    keys_file: Path, model_dir: Path, content: str
) -> None:
    keys_file.write_text(content)

    with pytest.raises(KeysError, match=r"python -m api\.keys"):
        Keyring(keys_file)


def test_the_service_does_not_start_without_its_keys(model_dir: Path, keys_file: Path) -> None:
    ended = run("-m", "api", model_dir=model_dir, keys_file=keys_file)

    assert ended.returncode == 1
    assert "python -m api.keys create" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_the_program_prints_a_key_once_and_lists_without_it(keys_file: Path) -> None:
    made = run(
        "-m", "api.keys", "create", "--name", "ward 3", "--roles", "predict,read",
        keys_file=keys_file,
    )  # fmt: skip
    key = made.stdout.strip()
    listed = run("-m", "api.keys", "list", keys_file=keys_file).stdout

    found = Keyring(keys_file).find(key.encode())
    assert found is not None
    assert found.roles == ("predict", "read")
    assert found.id in listed
    assert "ward 3" in listed
    assert key not in listed + made.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["revoke", "12345678"], "no such key"),
        (["create", "--name", "a", "--roles", "root"], "predict, read, outcome, admin"),
        (["create", "--name", "a\nb", "--roles", "read"], "printable"),
    ],
)
def test_what_the_program_cannot_do_it_says(
    keys_file: Path, arguments: list[str], says: str
) -> None:
    add(keys_file, "read")
    ended = run("-m", "api.keys", *arguments, keys_file=keys_file)

    assert ended.returncode != 0
    assert says in ended.stderr


def test_a_name_that_was_written_by_hand_forges_no_line_of_the_list(keys_file: Path) -> None:
    with changed(keys_file) as keys:
        keys.append(make("wärd\n\x1b[2K12345678  admin", ("read",))[0])
    listed = run("-m", "api.keys", "list", keys_file=keys_file).stdout

    assert len(listed.splitlines()) == 1
    assert r"\n\x1b[2K12345678" in listed


def test_in_kubernetes_the_service_starts_with_postgresql_only(
    model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "KUBERNETES_SERVICE_HOST", "10.0.0.1")
    ended = run("-m", "api", model_dir=model_dir)

    assert ended.returncode == 1
    assert "PostgreSQL" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
