"""Whole responses in one message, and a server that works for an ordinary ASGI application, too."""

from __future__ import annotations

import contextlib
import http.client
import subprocess
import sys

import pytest
from starlette.types import Receive, Scope, Send

from api.server.request_cycle import WHOLE_RESPONSE
from tests.api.server.client import HEAD, READ, answer, connect
from tests.api.server.toy import respond, serving
from tests.programs import ROOT


def test_a_whole_response_to_head_has_a_length_and_no_body(port: int) -> None:
    with contextlib.closing(connect(port)) as client:
        client.sendall(READ.replace(b"GET", b"HEAD").replace(b"/echo", b"/much"))
        reply = http.client.HTTPResponse(client, method="HEAD")
        reply.begin()

        assert (reply.status, reply.headers["Content-Length"], reply.read()) == (200, "20000", b"")


def test_a_body_that_arrives_in_pieces_is_received_as_a_whole(port: int) -> None:
    with contextlib.closing(connect(port)) as client:
        client.sendall(HEAD + b"Content-Length: 300000\r\n\r\n")
        for _ in range(3):
            client.sendall(b"x" * 100_000)

        assert answer(client) == (200, b"300000")


def test_a_client_that_expects_it_is_told_to_continue(port: int) -> None:
    with contextlib.closing(connect(port)) as client:
        client.sendall(HEAD + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"abc")

        assert answer(client) == (200, b"3")


async def plain(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"in ", "more_body": True})
    await send({"type": "http.response.body", "body": b"pieces"})


async def fails(scope: Scope, receive: Receive, send: Send) -> None:
    raise ZeroDivisionError


async def twice(scope: Scope, receive: Receive, send: Send) -> None:
    await respond(send, 200, b"first")
    with pytest.raises(RuntimeError):
        await respond(send, 200, b"second")


@pytest.mark.parametrize(
    ("app", "expected"),
    [
        (plain, (200, b"in pieces")),
        (fails, (500, b"Internal Server Error")),
        (twice, (200, b"first")),
    ],
)
def test_an_application_gets_what_asgi_promises(app: object, expected: tuple[int, bytes]) -> None:
    with serving(app) as port, contextlib.closing(connect(port)) as client:
        client.sendall(READ)

        assert answer(client) == expected


def test_the_extension_is_announced_in_the_scope() -> None:
    announced = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        announced.append(WHOLE_RESPONSE in scope["extensions"])
        await respond(send, 200, b"")

    with serving(app) as port, contextlib.closing(connect(port)) as client:
        client.sendall(READ)
        assert answer(client)[0] == 200

    assert announced == [True]


def test_the_server_imports_nothing_of_the_rest() -> None:
    look = (
        "import sys, tests.api.server.toy; "
        "print(*sorted(m for m in sys.modules if m.split('.')[0] in "
        "('api', 'db', 'pipeline', 'settings', 'logs') and not m.startswith('api.server')))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", look], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert ended.stdout.split() == ["api"]
