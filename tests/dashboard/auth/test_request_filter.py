"""What the dashboard takes, and from whom; real servers, without and with a login."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send
from streamlit.proto.BackMsg_pb2 import BackMsg
from websockets.exceptions import ConnectionClosedError

import logs
from dashboard.auth import request_filter
from dashboard.auth.login_guard import SESSIONS_BEFORE_LOGIN, LoginGuard
from dashboard.auth.request_filter import ALLOWED_MESSAGES, RequestFilter
from tests.dashboard.sessions import login_cookie, run, served, session, session_id


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a dashboard without a login."""
    with served(tmp_path_factory.mktemp("open")) as address:
        yield address


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a dashboard with a login."""
    with served(tmp_path_factory.mktemp("login"), login=True) as address:
        yield address


def test_a_message_is_no_larger_than_a_page_sends(address: str) -> None:
    with session(address) as socket:
        run(socket)
        socket.send(b"\0" * 300_000)
        with pytest.raises(ConnectionClosedError, match="1009"):
            list(socket)


def test_sessions_before_a_login_are_bounded_and_the_oldest_goes_first(guarded: str) -> None:
    someone = login_cookie("ethics", address=guarded)
    with ExitStack() as stack:
        logged_in = stack.enter_context(session(guarded, someone))
        first, second, *_ = [
            stack.enter_context(session(guarded)) for _ in range(SESSIONS_BEFORE_LOGIN + 1)
        ]
        with pytest.raises(ConnectionClosedError) as closed:
            first.recv(timeout=60)
        assert closed.value.rcvd
        assert closed.value.rcvd.code == 1013
        assert session_id(run(second))
        assert session_id(run(logged_in))


@pytest.mark.anyio
async def test_a_session_that_ends_by_itself_gives_its_place_back() -> None:
    sent, ended = [], []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    async def leave_at_once(_: Scope, receive: Receive, __: Send) -> None:
        ended.append((await receive())["type"])

    guard = LoginGuard(leave_at_once, max_sessions=1)
    for _ in range(3):
        await guard({"type": "websocket", "headers": []}, receive, send)
    assert ended == ["websocket.connect"] * 3
    assert sent == []


@pytest.mark.parametrize(
    "path", ["/_stcore/metrics%0a", "/media/0.csv%0a", "/auth/logout%0d", "/%00"]
)
def test_an_address_with_a_control_character_leads_nowhere(address: str, path: str) -> None:
    assert httpx.get(f"{address}{path}", trust_env=False).status_code == 404


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
