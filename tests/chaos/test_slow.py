"""How large bodies and slow connections affect others; Linux only, with SOAK=1.

The limits are of an otherwise idle machine.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import random
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

import pytest
import uvloop

from perf.load.open_loop_client import measure_fixed_rate
from perf.load.scratch import scratch_folder, start_service
from perf.load.server_process import Server, pin_to_cores, split_cores
from pipeline.load_tests.benchmark import OpenLoop
from tests.chaos.clients import numbered_request

pytestmark = pytest.mark.skipif(not os.environ.get("SOAK"), reason="takes an idle machine")

MAX_MEMORY_MB, MAX_HEALTH_MS, MAX_OPEN_S, MAX_SLOWDOWN = 20.0, 200.0, 15.0, 2.0
_CALLERS, _BODY_MB, _PIECE = 20, 50, 64 * 1024
_GIVE_UP_S = 30.0
_HEAD = b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
_GREEDY = b"GET /openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 1000


class SlowClient(NamedTuple):
    """A type of slow client: what it sends at once, and then every second."""

    name: str
    initial_bytes: bytes
    trickle: bytes
    share: int


SLOW_CLIENTS = (
    SlowClient("sends nothing", b"", b"", 248),
    SlowClient("trickles a head", _HEAD, b"X-A: b\r\n", 248),
    SlowClient("trickles a body", _HEAD + b"Content-Length: 999\r\n\r\n", b" ", 248),
    SlowClient(
        "trickles chunks", _HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n", 248
    ),
    SlowClient("does not read its answers", _GREEDY, b"", 8),
)
"""Of a thousand."""


def send_large_body(port: int, chunked: bool) -> int:
    """Send 50 MB whatever the service answers; return the status, 0 = no answer."""
    announced = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % (
        _BODY_MB * 10**6
    )  # fmt: skip
    piece = b"x" * _PIECE
    if chunked:
        piece = b"%x\r\n%s\r\n" % (len(piece), piece)
    with closing(socket.create_connection(("127.0.0.1", port), timeout=_GIVE_UP_S)) as caller:
        with suppress(OSError):
            caller.sendall(_HEAD + announced + b"\r\n\r\n")
            for _ in range(_BODY_MB * 10**6 // _PIECE):
                caller.sendall(piece)
        with suppress(OSError, http.client.HTTPException):
            reply = http.client.HTTPResponse(caller)
            reply.begin()
            return reply.status
    return 0


def send_large_bodies(port: int, chunked: bool) -> list[int]:
    """Send twenty large bodies at once; return the statuses."""
    with ThreadPoolExecutor(_CALLERS) as callers:
        return list(callers.map(lambda _: send_large_body(port, chunked), range(_CALLERS)))


def _kb(process: int, name: str) -> int:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def _health_ms(port: int) -> float:
    began = time.perf_counter()
    asked = http.client.HTTPConnection("127.0.0.1", port, timeout=_GIVE_UP_S)
    with closing(asked):
        asked.request("GET", "/healthz")
        asked.getresponse().read()
    return (time.perf_counter() - began) * 1000


def _background_process() -> ProcessPoolExecutor:
    """Start a low-priority process for the disturbing clients.

    They share a core with the measuring ones, whose latencies must not include waiting for it.
    """
    return ProcessPoolExecutor(1, initializer=os.nice, initargs=(19,))


@pytest.fixture
def server(model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("CARDIOWATCH_MODEL_DIR", str(model_dir))
    with (
        scratch_folder() as folder,
        start_service(f"sqlite:///{folder}/log.db", on=split_cores()[0]) as service,
        pin_to_cores(split_cores()[1]),
    ):
        latencies(service, 2)  # warm
        yield service


def latencies(server: Server, seconds: float = 20.0) -> OpenLoop:
    """Let well-behaved clients ask 200 times a second; latencies in ms."""
    found = uvloop.run(measure_fixed_rate(server.port, numbered_request, 200, seconds))
    print(f"well-behaved clients: {found}")
    assert (found.failed, found.unanswered) == (0, 0)
    return found


@pytest.mark.parametrize("chunked", [False, True])
def test_large_bodies_cost_little_memory_and_keep_nobody_waiting(
    server: Server, chunked: bool
) -> None:
    process = server.process_id
    Path(f"/proc/{process}/clear_refs").write_text("5")  # resets the peak
    before, asked = _kb(process, "VmRSS"), []
    with _background_process() as others:
        sending = others.submit(send_large_bodies, server.port, chunked)
        while not sending.done():
            asked.append(_health_ms(server.port))
            time.sleep(0.05)
        statuses = Counter(sending.result())
    added = (_kb(process, "VmHWM") - before) * 1024 / 1e6
    print(f"{added:+.1f} MB at most, /healthz at most {max(asked):.0f} ms of {len(asked)}")

    assert statuses == {413: _CALLERS}
    assert added < MAX_MEMORY_MB
    assert max(asked) < MAX_HEALTH_MS


async def hold_connection(port: int, kind: SlowClient) -> float:
    """Open a slow connection; return the seconds until the service closes it."""
    began = time.monotonic()
    caller = socket.socket()
    caller.setblocking(False)
    loop = asyncio.get_running_loop()
    try:
        await loop.sock_connect(caller, ("127.0.0.1", port))
        with suppress(BlockingIOError):
            caller.send(kind.initial_bytes)
        await asyncio.sleep(random.random())  # noqa: S311  # clients do not send in step
        while time.monotonic() - began < _GIVE_UP_S:
            await asyncio.sleep(1)
            if kind.trickle:
                caller.send(kind.trickle)
            if kind.initial_bytes is not _GREEDY:  # reading would empty its receive buffer
                with suppress(BlockingIOError):
                    while caller.recv(65536):
                        pass
                    break
            elif caller.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                break
    except ConnectionError:
        pass
    finally:
        caller.close()
    return time.monotonic() - began


def hold_all_connections(port: int) -> dict[str, float]:
    """Open all slow connections at once; return the longest seconds of each type."""
    return asyncio.run(_hold_all_connections(port))


async def _hold_all_connections(port: int) -> dict[str, float]:
    kinds = [kind for kind in SLOW_CLIENTS for _ in range(kind.share)]
    seconds = await asyncio.gather(*(hold_connection(port, kind) for kind in kinds))
    return {k.name: max(s for kind, s in zip(kinds, seconds, strict=True) if kind is k)
            for k in SLOW_CLIENTS}  # fmt: skip


def test_slow_connections_are_closed_and_keep_nobody_waiting(server: Server) -> None:
    alone = latencies(server)
    with _background_process() as background:
        opening = background.submit(hold_all_connections, server.port)
        beside = latencies(server)
        opened = opening.result()
    print(f"closed after at most, s: {opened}")

    assert max(opened.values()) < MAX_OPEN_S
    assert alone.p99_ms is not None
    assert beside.p99_ms is not None
    assert beside.p99_ms < MAX_SLOWDOWN * alone.p99_ms
