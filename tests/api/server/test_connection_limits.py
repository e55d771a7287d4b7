"""Connections of a whole service: too many of them, idle ones, and those that end in the middle."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import subprocess
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from unittest.mock import Mock

import httpx
import pytest

from api.server import connection_limits
from db.migrate import migrate
from tests.api.conftest import PATIENT
from tests.api.server.test_connection import HEAD, READ, answer, connect
from tests.programs import free_port, run, running, wait_for

BODY = json.dumps(PATIENT).encode()


class Caller:
    """A connection as the room looks at it."""

    def __init__(self, idle_for_s: float | None) -> None:
        self.idle_since = time.monotonic() - (idle_for_s or 0.0)
        self.transport = Mock(spec=asyncio.Transport)
        self._idle = idle_for_s is not None

    @property
    def gone(self) -> bool:
        return bool(self.transport.close.called or self.transport.abort.called)

    def is_idle(self) -> bool:
        return self._idle and not self.gone

    def look(self, _: float) -> bool:
        return False


@contextlib.contextmanager
def served(
    folder: Path, model_dir: Path, *program: str
) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """Run a service on a new log until the block ends; lend its port and the program."""
    url, port = f"sqlite:///{folder}/log.db", free_port()
    migrate(url, lambda _: None)
    with running(*program, api_port=port, database_url=url, model_dir=model_dir) as api:
        wait_for(f"http://127.0.0.1:{port}/readyz", api)
        yield port, api


def test_a_caller_who_hangs_up_in_the_middle_is_no_mistake_of_ours(
    tmp_path: Path, model_dir: Path
) -> None:
    with served(tmp_path, model_dir, "-m", "api") as (port, api):
        for _ in range(20):
            with contextlib.closing(connect(port)) as caller:
                caller.sendall(b"GET /schema HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 500)
            with contextlib.closing(connect(port)) as caller:
                caller.sendall(HEAD + b"Content-Length: 30000000\r\n\r\n" + b"x" * 300_000)
            with contextlib.closing(connect(port)) as caller:
                caller.sendall(b"nonsense\r\n\r\n" + b"x" * 300_000)
        wait_for(f"http://127.0.0.1:{port}/readyz", api)
        api.terminate()
        printed = api.communicate(timeout=40)[0]

    assert printed == ""


GOING = """
import api.__main__ as program
from db.engine import DatabaseUnavailable
from db.reader.queries import Reader

page = Reader.page

def first_page(self, *, limit, cursor, **window):
    if cursor is not None:
        raise DatabaseUnavailable("It is gone.")
    return page(self, limit=1, **window)

Reader.page = first_page
program.main()
"""
"""The service on a log that can be read up to its first row."""


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_an_export_that_cannot_go_on_is_cut_off_and_the_reason_is_one_line(
    tmp_path: Path, model_dir: Path, form: str
) -> None:
    with served(tmp_path, model_dir, "-c", GOING) as (port, api):
        address = f"http://127.0.0.1:{port}"
        for _ in range(2):
            httpx.post(f"{address}/predict", json=PATIENT, trust_env=False).raise_for_status()
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(f"{address}/predictions?format={form}", trust_env=False)
        api.terminate()
        printed = api.communicate(timeout=40)[0]

    (line,) = printed.splitlines()
    assert "an export was cut off" in line
    assert "It is gone." in line


def test_an_idle_connection_is_closed_after_the_keep_alive_and_a_busy_one_is_not(
    tmp_path: Path, model_dir: Path
) -> None:
    soon = "import api.__main__ as program; program.KEEP_ALIVE_S = 2; program.main()"
    with (
        served(tmp_path, model_dir, "-c", soon) as (port, _),
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


def test_idle_connections_make_room_for_others_the_longest_idle_first(
    tmp_path: Path, model_dir: Path
) -> None:
    few = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200)); "
        "import api.__main__ as program; program.main()"
    )
    with served(tmp_path, model_dir, "-c", few) as (port, _), contextlib.ExitStack() as opened:
        kept = []
        for _ in range(400):
            kept.append(opened.enter_context(contextlib.closing(connect(port))))
            kept[-1].sendall(READ)
            assert answer(kept[-1])[0] == 200
        kept[-1].sendall(READ)
        assert answer(kept[-1])[0] == 200

        assert kept[0].recv(1) == b""
        reply = httpx.post(f"http://127.0.0.1:{port}/predict", json=PATIENT, trust_env=False)
        assert reply.status_code == 200


def test_callers_of_this_moment_keep_their_connections_where_files_are_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection_limits, "_open", set())
    monkeypatch.setattr(connection_limits, "_made", count(1))
    monkeypatch.setattr(connection_limits, "_files", lambda: 300)
    monkeypatch.setattr(connection_limits, "most", lambda: 100)
    resting = [Caller(idle_for_s=5) for _ in range(10)]
    busy = [Caller(idle_for_s=0.01) for _ in range(180)]
    for caller in (*resting, *busy):
        connection_limits.enter(caller)
    assert all(caller.gone for caller in resting)
    assert not any(caller.gone for caller in busy)

    more = [Caller(idle_for_s=0.01) for _ in range(100)]
    for caller in more:
        connection_limits.enter(caller)
    assert sum(caller.gone for caller in busy) > 50


def test_where_all_files_are_taken_by_callers_who_wait_who_comes_is_closed_and_reads_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection_limits, "_open", set())
    monkeypatch.setattr(connection_limits, "_files", lambda: 200)
    asking = [Caller(idle_for_s=None) for _ in range(300)]
    for caller in asking:
        connection_limits.enter(caller)

    assert [caller.gone for caller in asking] == [False] * 168 + [True] * 132


def test_idle_connections_go_though_nobody_enters_any_more(tmp_path: Path, model_dir: Path) -> None:
    few = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200)); "
        "import api.__main__ as program; program.main()"
    )
    asked = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY)
    with served(tmp_path, model_dir, "-c", few) as (port, api), contextlib.ExitStack() as opened:
        callers = []
        for _ in range(260):
            callers.append(opened.enter_context(contextlib.closing(connect(port))))
            with contextlib.suppress(OSError):
                callers[-1].sendall(asked)
        time.sleep(1)  # those for whom no file was left are turned away
        for caller in callers:
            with contextlib.suppress(OSError, http.client.HTTPException):
                caller.sendall(BODY)
                answer(caller)
        wait_for(f"http://127.0.0.1:{port}/readyz", api)


def test_the_limit_of_open_files_is_raised_as_far_as_it_may() -> None:
    lines = (
        "import resource as r; r.setrlimit(r.RLIMIT_NOFILE, (200, {hard})); "
        "from api import room; room.allow_files(); print(room.most())"
    )
    found = [int(run("-c", lines.format(hard=hard)).stdout) for hard in (300, 10_000)]

    assert found == [300 - 64, 4096]
