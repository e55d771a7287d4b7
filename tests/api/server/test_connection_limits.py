"""Connections of a toy application: too many of them, idle ones, and those that are cut off."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import signal
import subprocess
import time
from collections.abc import Iterator
from itertools import count
from unittest.mock import Mock

import pytest

from api.server import connection_limits
from tests.api.server.client import HEAD, READ, answer, connect
from tests.api.server.toy import serving
from tests.programs import free_port, run, running, wait_for

pytestmark = pytest.mark.slow


class FakeConnection:
    """A connection as its limits see it."""

    def __init__(self, idle_for_s: float | None) -> None:
        self.idle_since = time.monotonic() - (idle_for_s or 0.0)
        self.transport = Mock(spec=asyncio.Transport)
        self._idle = idle_for_s is not None

    @property
    def gone(self) -> bool:
        return bool(self.transport.close.called or self.transport.abort.called)

    def is_idle(self) -> bool:
        return self._idle and not self.gone

    def check_timeouts(self, _: float) -> bool:
        return False


@contextlib.contextmanager
def toy_process(files: int) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """Serve the toy application in a process with a limit of open files, until the block ends."""
    port = free_port()
    with running("-m", "tests.api.server.toy", str(port), str(files)) as process:
        wait_for(f"http://127.0.0.1:{port}/echo", process)
        yield port, process


def test_a_client_that_hangs_up_half_way_is_no_error() -> None:
    with toy_process(files=1000) as (port, process):
        for _ in range(20):
            with contextlib.closing(connect(port)) as client:
                client.sendall(READ.replace(b"/echo", b"/much") * 500)
            with contextlib.closing(connect(port)) as client:
                client.sendall(HEAD + b"Content-Length: 30000000\r\n\r\n" + b"x" * 300_000)
            with contextlib.closing(connect(port)) as client:
                client.sendall(HEAD + b"Content-Length: 300000\r\n\r\n" + b"x" * 100_000)
            with contextlib.closing(connect(port)) as client:
                client.sendall(b"nonsense\r\n\r\n" + b"x" * 300_000)
        wait_for(f"http://127.0.0.1:{port}/echo", process)
        process.terminate()
        printed = process.communicate(timeout=40)[0]

    assert printed == ""


def test_after_sigterm_the_next_response_ends_its_connection() -> None:
    with toy_process(files=1000) as (port, process), contextlib.closing(connect(port)) as client:
        client.sendall(READ)
        assert answer(client)[0] == 200
        process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        client.sendall(READ)
        reply = http.client.HTTPResponse(client)
        reply.begin()

        assert (reply.status, reply.headers["Connection"]) == (200, "close")


def test_an_idle_connection_is_closed_after_the_keep_alive_and_a_busy_one_is_not() -> None:
    with (
        serving(timeout_keep_alive=2) as port,
        contextlib.closing(connect(port)) as idle,
        contextlib.closing(connect(port)) as busy,
    ):
        idle.sendall(READ)
        assert answer(idle)[0] == 200
        idle.setblocking(False)
        for _ in range(12):  # 6 s
            busy.sendall(READ)
            assert answer(busy)[0] == 200
            time.sleep(0.5)

        assert idle.recv(1) == b""


def test_idle_connections_make_room_for_others_the_longest_idle_first() -> None:
    with toy_process(files=200) as (port, _), contextlib.ExitStack() as opened:
        kept = []
        for _ in range(400):
            kept.append(opened.enter_context(contextlib.closing(connect(port))))
            kept[-1].sendall(READ)
            assert answer(kept[-1])[0] == 200
        kept[-1].sendall(READ)
        assert answer(kept[-1])[0] == 200

        assert kept[0].recv(1) == b""


def test_active_clients_keep_their_connections_while_descriptors_are_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection_limits, "_open", set())
    monkeypatch.setattr(connection_limits, "_opened", count(1))
    monkeypatch.setattr(connection_limits, "_file_limit", lambda: 300)
    monkeypatch.setattr(connection_limits, "max_idle", lambda: 100)
    resting = [FakeConnection(idle_for_s=5) for _ in range(10)]
    busy = [FakeConnection(idle_for_s=0.01) for _ in range(180)]
    for caller in (*resting, *busy):
        connection_limits.track(caller)
    assert all(caller.gone for caller in resting)
    assert not any(caller.gone for caller in busy)

    more = [FakeConnection(idle_for_s=0.01) for _ in range(100)]
    for caller in more:
        connection_limits.track(caller)
    assert sum(caller.gone for caller in busy) > 50


def test_while_busy_connections_hold_all_descriptors_a_new_one_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection_limits, "_open", set())
    monkeypatch.setattr(connection_limits, "_file_limit", lambda: 200)
    asking = [FakeConnection(idle_for_s=None) for _ in range(300)]
    for caller in asking:
        connection_limits.track(caller)

    assert [caller.gone for caller in asking] == [False] * 168 + [True] * 132


def test_idle_connections_are_closed_while_no_new_one_can_be_accepted() -> None:
    body = b" " * 300
    head = HEAD + b"Content-Length: %d\r\n\r\n" % len(body)
    with toy_process(files=200) as (port, process), contextlib.ExitStack() as opened:
        clients = []
        for _ in range(260):
            clients.append(opened.enter_context(contextlib.closing(connect(port))))
            with contextlib.suppress(OSError):
                clients[-1].sendall(head)
        time.sleep(1)  # those for which no descriptor was left are closed
        for client in clients:
            with contextlib.suppress(OSError, http.client.HTTPException):
                client.sendall(body)
                answer(client)
        wait_for(f"http://127.0.0.1:{port}/echo", process)


def test_the_limit_of_open_files_is_raised_as_far_as_it_may() -> None:
    lines = (
        "import resource as r; r.setrlimit(r.RLIMIT_NOFILE, (200, {hard})); "
        "from api.server.connection_limits import max_idle, raise_file_limit; "
        "raise_file_limit(); print(max_idle())"
    )
    found = [int(run("-c", lines.format(hard=hard)).stdout) for hard in (300, 10_000)]

    assert found == [300 - 64, 4096]
