"""Behind Google's Identity-Aware Proxy: only what it has signed is let in, under a name."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send
from websockets.exceptions import InvalidStatus

import cardiowatch
from dashboard.auth.iap import TRUSTED_HEADERS, IapGuard
from settings import SettingsError
from tests.dashboard.sessions import run, served, session

AUDIENCE = "/projects/123/global/backendServices/456"
HEADER = "X-Goog-IAP-JWT-Assertion"


def make_key(kid: str) -> ECKey:
    return ECKey.generate_key("P-256", {"kid": kid, "alg": "ES256"})


GOOGLES, FOREIGN = make_key("of Google"), make_key("of Google")


def signed(key: ECKey = GOOGLES, algorithm: str = "ES256", **changed: Any) -> str:
    """Return the header of somebody who has logged in; a claim that is None is left out."""
    now = int(time.time())
    claims = {
        "iss": "https://cloud.google.com/iap", "aud": AUDIENCE, "iat": now, "exp": now + 600,
        "sub": "accounts.google.com:1", "email": "ward@hospital.example",
    } | changed  # fmt: skip
    kept = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode({"alg": algorithm, "kid": key.kid}, kept, key)


def write_keys(path: Path, *keys: ECKey) -> None:
    path.write_text(json.dumps(KeySet(list(keys)).as_dict(private=False)))


async def names_the_person(scope: Scope, receive: Receive, send: Send) -> None:
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
    person = [headers.get(name.lower(), "") for name in TRUSTED_HEADERS]
    await PlainTextResponse(" ".join(person))(scope, receive, send)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys.json"
    write_keys(path, GOOGLES)
    return path


@pytest.fixture
def client(keys: Path) -> TestClient:
    return TestClient(IapGuard(names_the_person, keys, AUDIENCE))


def test_what_the_proxy_has_signed_is_let_in_under_the_persons_name(client: TestClient) -> None:
    forged = dict.fromkeys(TRUSTED_HEADERS, "somebody else")
    reply = client.get("/patient", headers=forged | {HEADER: signed()})

    assert reply.text == "ward@hospital.example accounts.google.com:1"


@pytest.mark.parametrize(
    "header",
    [
        "",
        "no token",
        signed(FOREIGN),
        signed(make_key("unknown")),
        signed(aud="/projects/123/global/backendServices/457"),
        signed(aud=None),
        signed(iss="https://accounts.google.com"),
        signed(exp=int(time.time()) - 60),
        signed(exp=None),
        signed(iat=int(time.time()) + 86_400),
        signed(email=None),
        signed(sub=None),
        signed().rpartition(".")[0] + ".",
        "eyJhbGciOiJub25lIn0.e30.",  # {"alg": "none"}
    ],
)  # fmt: skip
def test_what_it_has_not_is_rejected(client: TestClient, header: str) -> None:
    reply = client.get("/patient", headers={HEADER: header} if header else {})

    assert reply.status_code == 403
    assert "ward" not in reply.text


def test_the_probes_of_the_cluster_need_no_login(client: TestClient) -> None:
    assert client.get("/_stcore/health").status_code == 200
    assert client.get("/_stcore/health/").status_code == 403


def test_new_keys_are_read_and_a_missing_file_lets_nobody_in(
    client: TestClient, keys: Path
) -> None:
    newer = make_key("newer")
    assert client.get("/", headers={HEADER: signed(newer)}).status_code == 403
    write_keys(keys, GOOGLES, newer)
    assert client.get("/", headers={HEADER: signed(newer)}).status_code == 200
    keys.unlink()
    assert client.get("/", headers={HEADER: signed(newer)}).status_code == 403


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a dashboard behind the proxy."""
    folder = tmp_path_factory.mktemp("iap")
    write_keys(folder / "keys.json", GOOGLES)
    with served(folder, iap_audience=AUDIENCE, iap_keys_file=folder / "keys.json") as address:
        yield address


def test_a_served_page_names_who_sees_it(address: str) -> None:
    with httpx.Client(base_url=address, trust_env=False) as client:
        assert client.get("/").status_code == 403
        assert client.get("/", headers={HEADER: signed()}).status_code == 200
    with session(address, **{HEADER: signed(), "X-Cardiowatch-Email": "forged"}) as socket:
        said = b"".join(message.SerializeToString() for message in run(socket))
    assert b"Signed in as ward@hospital.example" in said
    assert b"Sign out" not in said
    with pytest.raises(InvalidStatus) as rejected, session(address):
        pass
    assert rejected.value.response.status_code == 403


def test_an_audience_without_keys_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CARDIOWATCH_IAP_AUDIENCE", AUDIENCE)
    monkeypatch.setenv("CARDIOWATCH_IAP_KEYS_FILE", str(tmp_path / "none.json"))
    ended = CliRunner().invoke(cardiowatch.root, ["dashboard"])

    assert isinstance(ended.exception, SettingsError)
    assert "CARDIOWATCH_IAP_KEYS_FILE" in str(ended.exception)
