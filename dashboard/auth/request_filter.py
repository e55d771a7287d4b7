"""Rejects requests that no page of the dashboard sends, before they reach Streamlit."""

from __future__ import annotations

import logging
from pathlib import Path

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.web.server.starlette import starlette_websocket

import logs
from dashboard.auth import files
from dashboard.auth.files import FileGuard
from dashboard.auth.roles import RoleMap
from dashboard.navigation import PAGES

ALLOWED_MESSAGES = frozenset({
    "rerun_script", "stop_script", "app_heartbeat", "file_urls_request",
    "backend_operation_request",
})  # fmt: skip
"""The other messages are for developers: any visitor could clear everyone's caches."""

_SESSION = "/_stcore/stream"
_STREAMLIT_PATHS = ("/_stcore/", "/auth/", "/component/", "/media/", "/static/")
_PROBED_PATHS = ("/_stcore/health", "/_stcore/host-config")
_WRONG_ORIGIN = PlainTextResponse("Forbidden: wrong origin.", 403)
_FILES = frozenset({"/favicon.png", "/index.html", "/manifest.json", "/oauth2callback"})
_PAGES = frozenset(page.address for page in PAGES.values())
_NO_PAGE = HTMLResponse(Path(__file__).with_name("no_page.html").read_text("utf-8"), 404)
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_MAX_QUOTED = 80
"""Characters of a header that a log line quotes."""

logger = logging.getLogger("cardiowatch.dashboard")
_log_throttle = logs.LogThrottle()


class RequestFilter:
    """ASGI middleware that answers, in Streamlit's place, what no page of ours sends.

    Parameters
    ----------
    role_map
        Which role may see which page; without it nobody has to log in.
    """

    def __init__(self, app: ASGIApp, role_map: RoleMap | None = None) -> None:
        self.app = app
        self._files = FileGuard(app, role_map)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or reject it."""
        app = self.app
        if scope["type"] == "websocket":
            app = self._filter_messages if _is_same_origin_session(scope) else _reject_session
        elif scope["type"] == "http":
            app = self._route(scope)
        await app(scope, receive, send)

    def _route(self, scope: Scope) -> ASGIApp:
        path = scope["path"]
        if not path.isprintable() or path.startswith("/_stcore/metrics"):
            return files.NOT_FOUND  # a route's pattern also matches before a final newline
        if path.startswith(files.DOWNLOADS):
            return self._files.download
        if path.startswith(files.UPLOADS):
            return self._files.upload
        return _NO_PAGE if _is_no_page(scope) else self.app

    async def _filter_messages(self, scope: Scope, receive: Receive, send: Send) -> None:
        # The third subprotocol is the session that a browser resumes.
        session = starlette_websocket._parse_subprotocols(Headers(scope=scope))[2] or ""

        async def receive_from_page() -> Message:
            while True:
                message = await receive()
                if message["type"] != "websocket.receive" or _is_allowed(message.get("bytes")):
                    return message

        async def send_to_page(message: Message) -> None:
            nonlocal session
            session = self._files.note_offer(session, message.get("bytes") or b"")
            await send(message)

        await self.app(scope, receive_from_page, send_to_page)


async def _reject_session(scope: Scope, receive: Receive, send: Send) -> None:
    """Reject a session and log it: a host missing from the settings only shows an empty page."""
    count = _log_throttle.admit("session") if scope["path"] == _SESSION else 0
    if count:
        headers = Headers(scope=scope)
        origin, host = (ascii(headers.get(name, ""))[:_MAX_QUOTED] for name in ("origin", "host"))
        message = "rejected a session: Origin %s, Host %s; see CARDIOWATCH_DASHBOARD_NAMES"
        logger.warning(message, origin, host, extra={"count": count})
    await _WRONG_ORIGIN(scope, receive, send)


def _is_no_page(scope: Scope) -> bool:
    """Return whether an address is neither a page nor a file of Streamlit, which shows the first.

    Below a page's address the browser first probes for the server and needs a 404 of Streamlit's.
    """
    path = scope["path"]
    if path.startswith(_STREAMLIT_PATHS) or path.endswith(_PROBED_PATHS) or path in _FILES:
        return False
    return path.rstrip("/").removeprefix("/") not in _PAGES or b"%" in scope["raw_path"]


def _is_allowed(message: bytes | None) -> bool:
    """Return whether a page sends such messages; Streamlit itself rejects unreadable ones."""
    try:
        read = BackMsg.FromString(message or b"")
    except DecodeError:
        return True
    return read.WhichOneof("type") in ALLOWED_MESSAGES and files.may_make_file(read)


def _is_same_origin_session(scope: Scope) -> bool:
    """Return whether the request comes from a page of this address; browsers always say so.

    Streamlit would accept every origin of this machine, and ask another host for the machine's
    external address before it rejects the rest.
    """
    headers = MutableHeaders(scope=scope)
    scheme, _, place = headers.get("origin", "").partition("://")
    host = headers.get("host", "")
    if scheme not in _DEFAULT_PORTS or host.removesuffix(_DEFAULT_PORTS[scheme]) != place:
        return False
    headers["host"] = place  # some proxies add the default port; Streamlit compares strings
    return scope["path"] == _SESSION and starlette_websocket.is_host_allowed(place)
