"""What the dashboard takes, and from whom; real servers, without and with a login."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send
from streamlit.proto.BackMsg_pb2 import BackMsg
from websockets.exceptions import ConnectionClosedError

import logs
from dashboard.auth import request_filter
from dashboard.auth.request_filter import ALLOWED_MESSAGES, MAX_OPEN_UPLOADS, RequestFilter
from db.migrate import migrate
from tests.dashboard.sessions import LOGIN, XSRF, login_cookie, run, session, session_id
from tests.programs import free_port, running, wait_for

MB = 1024 * 1024


def served(folder: Path, **settings: object) -> Iterator[str]:
    url = f"sqlite:///{folder}/log.db"
    migrate(url, lambda _: None)
    port = free_port()
    with running(
        "-m", "dashboard", database_url=url, dashboard_port=port, **settings
    ) as dashboard:  # fmt: skip
        address = f"http://127.0.0.1:{port}"
        wait_for(f"{address}/_stcore/health", dashboard)
        yield address


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A dashboard where nobody logs in."""
    yield from served(tmp_path_factory.mktemp("open"))


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A dashboard where people log in."""
    folder = tmp_path_factory.mktemp("door")
    file = folder / "login.toml"
    file.write_text(LOGIN)
    yield from served(folder, login_file=file)


def upload(address: str, sid: str, *, name: str = "f", size: int = 10, cookie: str = "") -> int:
    """Send a file into a session as the page does; return the status."""
    return httpx.put(
        f"{address}/_stcore/upload_file/{sid}/{name}",
        files={"file": ("study.csv", b"0" * size, "text/csv")},
        headers={"X-Xsrftoken": XSRF, "Cookie": f"_streamlit_xsrf={XSRF}" + cookie},
        trust_env=False,
        timeout=60,
    ).status_code


def test_a_file_is_no_larger_than_the_gate_promises(address: str) -> None:
    with session(address) as socket:
        sid = session_id(run(socket))
        assert upload(address, sid, size=5 * MB) == 204
        assert upload(address, sid, size=7 * MB) == 413


def test_only_so_many_files_are_kept_until_their_sessions_end(address: str) -> None:
    with session(address) as one, session(address) as other:
        first, second = session_id(run(one)), session_id(run(other))
        taken = [upload(address, first, name=f"one{n}") for n in range(MAX_OPEN_UPLOADS)]
        assert taken.count(204) >= MAX_OPEN_UPLOADS - 1  # another test's file may be there still
        assert upload(address, second) == 503
        gone = httpx.delete(
            f"{address}/_stcore/upload_file/{first}/one0",
            headers={"X-Xsrftoken": XSRF, "Cookie": f"_streamlit_xsrf={XSRF}"},
            trust_env=False,
        )
        assert gone.status_code == 204


def test_a_message_is_no_larger_than_a_page_sends(address: str) -> None:
    with session(address) as socket:
        run(socket)
        socket.send(b"\0" * 300_000)
        with pytest.raises(ConnectionClosedError, match="1009"):
            list(socket)


NOBODY = (
    "", "; _streamlit_user=ethics", login_cookie("ethics", secret="1" * 32),
    login_cookie("cleaning"), login_cookie("ethics", age_s=13 * 3600),
)  # fmt: skip


@pytest.mark.parametrize("cookie", NOBODY)
def test_who_has_not_logged_in_uploads_nothing(door: str, cookie: str) -> None:
    with session(door) as socket:
        assert upload(door, session_id(run(socket)), cookie=cookie) == 403


def test_who_has_logged_in_uploads(door: str) -> None:
    with session(door) as socket:
        sid = session_id(run(socket))
        assert upload(door, sid, cookie=login_cookie("ethics")) == 204


def download(address: str, cookie: str) -> httpx.Response:
    """Ask for a file that somebody's page offers; there is none."""
    headers = {"Cookie": "a=b" + cookie}
    return httpx.get(f"{address}/media/0.csv", headers=headers, trust_env=False)


@pytest.mark.parametrize("cookie", NOBODY)
def test_who_has_not_logged_in_downloads_nothing(door: str, cookie: str) -> None:
    assert download(door, cookie).status_code == 403


def test_who_has_logged_in_downloads_and_no_cache_keeps_it(door: str) -> None:
    answer = download(door, login_cookie("ethics"))
    assert answer.status_code == 404
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.anyio
async def test_nobody_empties_the_caches_of_all() -> None:
    scope = {
        "type": "websocket", "path": "/_stcore/stream",
        "headers": [(b"host", b"127.0.0.1"), (b"origin", b"http://127.0.0.1")],
    }  # fmt: skip
    sent = [
        BackMsg(clear_cache=True), BackMsg(stop_script=True), BackMsg(load_git_info=True),
        BackMsg(clear_cache=True), BackMsg(app_heartbeat=True),
    ]  # fmt: skip
    unread = [{"type": "websocket.receive", "bytes": m.SerializeToString()} for m in sent]
    unread += [{"type": "websocket.receive", "bytes": b"\xff"}, {"type": "websocket.disconnect"}]
    heard: list[Message] = []

    async def receive() -> Message:
        return unread.pop(0)

    async def app(_: Scope, receive: Receive, __: Send) -> None:
        while not heard or heard[-1]["type"] != "websocket.disconnect":
            heard.append(await receive())

    await RequestFilter(app)(scope, receive, pytest.fail)  # type: ignore[arg-type]

    assert [m.get("bytes") for m in heard] == [
        BackMsg(stop_script=True).SerializeToString(),
        BackMsg(app_heartbeat=True).SerializeToString(), b"\xff", None,
    ]  # fmt: skip


async def refuse(path: str, **headers: str) -> None:
    async def ignore(_: Message) -> None:
        pass

    sent = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    scope = {"type": "websocket", "path": path, "headers": sent, "extensions": {}}
    await RequestFilter(pytest.fail)(scope, pytest.fail, ignore)  # type: ignore[arg-type]


@pytest.mark.anyio
async def test_refused_sessions_fill_no_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 0.0
    monkeypatch.setattr(logs, "monotonic", lambda: now)
    monkeypatch.setattr(request_filter, "_log_throttle", logs.LogThrottle())
    for _ in range(3):
        await refuse("/_stcore/stream", origin="http://a\x1b[2J\r\n\xe9", host="h" * 60_000)
    now = 2.0
    await refuse("/_stcore/stream")
    await refuse("/stream", origin="http://heart.example")
    first, second = caplog.records
    assert first.getMessage() == (
        "rejected a session: Origin 'http://a\\x1b[2J\\r\\n\\xe9', "
        f"Host '{'h' * 79}; see CARDIOWATCH_DASHBOARD_NAMES"
    )
    assert "Origin '', Host '';" in second.getMessage()
    assert second.__dict__["count"] == 3


def test_every_message_that_streamlit_takes_is_a_pages_or_a_developers() -> None:
    taken = {field.name for field in BackMsg.DESCRIPTOR.oneofs_by_name["type"].fields}
    assert taken - ALLOWED_MESSAGES == {
        "clear_cache", "load_git_info", "set_run_on_save", "debug_disconnect_websocket",
        "debug_shutdown_runtime",
    }  # fmt: skip
