"""How large bodies and slow connections affect others: `cardiowatch measure slow`. Linux only."""

from __future__ import annotations

import asyncio
import http.client
import os
import random
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import click

from perf.load.fixed_rate_client import read_fixed_rate, start_fixed_rate
from perf.load.scratch import PromiseBroken, scratch_folder, start_service
from perf.load.server_process import Server, ServerFailed, pin_to_cores, split_cores
from pipeline.load_tests.benchmark import OpenLoop

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


def large_bodies(server: Server, chunked: bool) -> Iterator[str]:
    """Send large bodies, print the result and yield the broken promises."""
    process = server.process_id
    Path(f"/proc/{process}/clear_refs").write_text("5")  # resets the peak
    before = _kb(process, "VmRSS")
    began, asked = time.perf_counter(), []
    with _background_process() as others:
        sending = others.submit(send_large_bodies, server.port, chunked)
        while not sending.done():
            asked.append(_health_ms(server.port))
            time.sleep(0.05)
        statuses = Counter(sending.result())
    added = (_kb(process, "VmHWM") - before) * 1024 / 1e6
    how = "chunked" if chunked else "with Content-Length"
    print(f"{_CALLERS} bodies of {_BODY_MB} MB, {how}, in {time.perf_counter() - began:.1f} s: "
          f"answers {dict(statuses)}, {added:+.1f} MB at most, /healthz asked {len(asked)} times, "
          f"at most {max(asked):.0f} ms", flush=True)  # fmt: skip
    if statuses != {413: _CALLERS}:
        yield f"large bodies {how}: answers {dict(statuses)}"
    if added > MAX_MEMORY_MB:
        yield f"large bodies {how}: {added:.1f} MB of memory, more than {MAX_MEMORY_MB:g}"
    if max(asked) > MAX_HEALTH_MS:
        yield f"/healthz took {max(asked):.0f} ms, more than {MAX_HEALTH_MS:g}"


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


def _outcome(clients: subprocess.Popen[str], when: str) -> tuple[OpenLoop, float]:
    """Print and return the result of the well-behaved clients, and their p99, ms."""
    found = read_fixed_rate(clients)
    if found.p99_ms is None:
        raise ServerFailed(f"no well-behaved client was answered {when}")
    print(f"well-behaved clients {when}: {found.ok} answers, {found.failed} failed, p50 "
          f"{found.p50_ms:.1f}, p99 {found.p99_ms:.1f}, longest {found.max_ms:.0f} ms",
          flush=True)  # fmt: skip
    return found, found.p99_ms


def slow_connections(server: Server, rate: float, seconds: float) -> Iterator[str]:
    """Measure well-behaved clients alone and beside slow ones; yield the broken promises."""
    _, alone_ms = _outcome(start_fixed_rate(server.port, rate, seconds), "alone")
    clients = start_fixed_rate(server.port, rate, seconds)
    time.sleep(2)  # until they have started
    with _background_process() as background:
        opened = background.submit(hold_all_connections, server.port).result()
    for name, longest in opened.items():
        print(f"{name}: closed after {longest:.1f} s at the latest")
    beside, beside_ms = _outcome(clients, "beside them")
    slower = beside_ms / alone_ms
    print(f"p99 is {slower:.2f} times as long")
    if max(opened.values()) > MAX_OPEN_S:
        yield f"a slow connection was open for {max(opened.values()):.1f} s"
    if slower > MAX_SLOWDOWN:
        yield f"well-behaved clients waited {slower:.2f} times as long"
    if beside.failed or beside.unanswered:
        yield "well-behaved clients were not answered"


@click.command("slow")
@click.option("--rate", default=200.0, show_default=True, help="Requests per second.")
@click.option("--seconds", default=20.0, show_default=True, help="Per measurement.")
def command(rate: float, seconds: float) -> None:
    """Measure latency beside a thousand slow clients.

    First, twenty clients send 50 MB each and keep sending after they are rejected, with
    Content-Length and then chunked; meanwhile /healthz is called every 50 ms. Then clients request
    predictions at a fixed rate, alone and beside 1,000 connections that send nothing, trickle a
    head, a body or chunks, or do not read their answers.

    Promised: at most 20 MB more memory and 200 ms for /healthz; slow connections closed within
    15 s; p99 at most doubled. Exits with 1 otherwise. Linux only.
    """
    with (
        scratch_folder() as folder,
        start_service(f"sqlite:///{folder}/log.db", on=split_cores()[0]) as server,
    ):
        start_fixed_rate(server.port, rate, 2).communicate()  # warm
        parts = (
            partial(large_bodies, server, False), partial(large_bodies, server, True),
            partial(slow_connections, server, rate, seconds),
        )  # fmt: skip
        with pin_to_cores(split_cores()[1]):
            broken = [promise for part in parts for promise in part()]
    if broken:
        raise PromiseBroken(broken)
