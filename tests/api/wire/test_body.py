"""Bodies that arrive slowly, or too many large ones at once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time

import httpx

from api.wire import body as wire_body
from api.wire.problems import Problem
from tests.api.conftest import PATIENT
from tests.api.server.client import connect

HEAD = b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"


def test_slow_bodies_do_not_count_as_requests_under_way(port: int) -> None:
    begun = HEAD + b"Content-Length: 999\r\n\r\n"
    with contextlib.ExitStack() as opened:
        for _ in range(300):
            caller = opened.enter_context(contextlib.closing(connect(port)))
            caller.sendall(begun)
        time.sleep(1)  # longer than an overloaded service tolerates
        reply = httpx.post(
            f"http://127.0.0.1:{port}/predict", json=PATIENT, trust_env=False
        )  # fmt: skip

    assert reply.status_code == 200


def test_only_a_limited_number_of_large_bodies_is_read_at_once(port: int) -> None:
    begun = HEAD.replace(b"/predict", b"/predict/batch") + b"Content-Length: 900000\r\n\r\n"
    body = json.dumps([PATIENT]).encode() + b" " * 900_000
    with contextlib.ExitStack() as opened:
        for _ in range(wire_body.MAX_LARGE_BODIES):
            caller = opened.enter_context(contextlib.closing(connect(port)))
            caller.sendall(begun + b" " * (wire_body.LARGE_BODY + 1))
        time.sleep(0.5)
        batch = f"http://127.0.0.1:{port}/predict/batch"
        headers = {"Content-Type": "application/json"}
        refused = httpx.post(batch, content=body, headers=headers, trust_env=False)
        small = httpx.post(batch, json=[PATIENT], trust_env=False)
    time.sleep(0.5)
    accepted = httpx.post(batch, content=body, headers=headers, trust_env=False)

    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert (small.status_code, accepted.status_code) == (200, 200)


def test_once_half_of_the_large_bodies_are_in_use_a_key_has_a_quarter_at_most() -> None:
    begun = {"type": "http.request", "body": b" " * (wire_body.LARGE_BODY + 1), "more_body": True}

    async def refused(*key_ids: str) -> list[str]:
        """Begin large bodies that never end; return the keys of those that are refused."""

        def begin(key_id: str) -> asyncio.Task[bytes]:
            pieces = asyncio.Queue[dict[str, object]]()
            pieces.put_nowait(begun)
            headers = {b"content-type": b"application/json"}
            return asyncio.create_task(
                wire_body.read_json_body(headers, pieces.get, 2**20, key_id)  # type: ignore[arg-type]
            )

        sending = [begin(key_id) for key_id in key_ids]
        await asyncio.sleep(0.1)
        ended = [isinstance(one.exception(), Problem) if one.done() else False for one in sending]
        for one in sending:
            one.cancel()
        await asyncio.wait(sending)
        return [key_id for key_id, is_over in zip(key_ids, ended, strict=True) if is_over]

    assert asyncio.run(refused(*"a" * 33, "b")) == ["a"]
    assert asyncio.run(refused(*"a" * 32, *"b" * 17)) == ["b"]
    assert asyncio.run(refused(*"abcd" * 16, "e")) == ["e"]
    assert asyncio.run(refused(*[""] * 65)) == [""]
