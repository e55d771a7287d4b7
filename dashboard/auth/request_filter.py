"""Rejects requests that no page of the dashboard sends, before they reach Streamlit."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from typing import Any, cast

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.runtime import get_instance
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.web.server.starlette import starlette_websocket
from streamlit.web.server.starlette.starlette_server_config import USER_COOKIE_NAME

import logs
from dashboard.auth.roles import RoleMap, is_login_valid

MAX_OPEN_UPLOADS = 20
"""Uploads held at once; the file check releases its file once it is submitted."""

ALLOWED_MESSAGES = frozenset(
    (
        "rerun_script",
        "stop_script",
        "app_heartbeat",
        "file_urls_request",
        "backend_operation_request",
    )
)
"""The other messages are for developers: any visitor could clear everyone's caches."""

_SESSION = "/_stcore/stream"
_UPLOADS = "/_stcore/upload_file/"
_STREAMLIT_PATHS = ("/_stcore/", "/auth/", "/component/", "/media/", "/static/")
_INCOMPLETE_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_PROBED_PATHS = ("/_stcore/health", "/_stcore/host-config")
_FILE_PATHS = ("/media/", _UPLOADS)
_WRONG_ORIGIN = PlainTextResponse("Forbidden: wrong origin.", 403)
_TOO_MANY_UPLOADS = PlainTextResponse("Too many uploads in progress; try again later.", 503)
_NOT_FOUND = PlainTextResponse("Not Found", 404)
_REDIRECT_TO_OVERVIEW = RedirectResponse("/", 302)
_SIGN_IN_REQUIRED = PlainTextResponse("Sign in first.", 403)
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
        self.role_map = role_map
        self._arriving = 0

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
        if path.startswith("/_stcore/metrics"):
            return _NOT_FOUND
        if path.startswith(_FILE_PATHS) and not self._may_see_any_page(scope):
            return _SIGN_IN_REQUIRED
        if path.startswith(_UPLOADS):
            return self._accept_upload
        return _REDIRECT_TO_OVERVIEW if _would_render_blank(scope) else self.app

    async def _filter_messages(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def receive_from_page() -> Message:
            while True:
                message = await receive()
                if message["type"] != "websocket.receive" or _is_allowed(message.get("bytes")):
                    return message

        await self.app(scope, receive_from_page, send)

    async def _accept_upload(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "PUT" and self._arriving + _open_uploads() >= MAX_OPEN_UPLOADS:
            await _TOO_MANY_UPLOADS(scope, receive, send)
            return
        self._arriving += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self._arriving -= 1

    def _may_see_any_page(self, scope: Scope) -> bool:
        """Return whether the sender is logged in and has a role."""
        return self.role_map is None or (
            is_logged_in(scope) and bool(self.role_map.allowed_pages(_claims(scope)))
        )


def is_logged_in(scope: Scope) -> bool:
    """Return whether the sender has a valid login."""
    return is_login_valid(_claims(scope))


def _claims(scope: Scope) -> Mapping[str, Any]:
    cookies = HTTPConnection(scope).cookies
    found = starlette_websocket._get_signed_cookie_with_chunks(cookies, USER_COOKIE_NAME)
    return dict(json.loads(found)) if found else {}


async def _reject_session(scope: Scope, receive: Receive, send: Send) -> None:
    """Reject a session and log it: a host missing from the settings only shows an empty page."""
    count = _log_throttle.admit("session") if scope["path"] == _SESSION else 0
    if count:
        headers = Headers(scope=scope)
        origin, host = (ascii(headers.get(name, ""))[:_MAX_QUOTED] for name in ("origin", "host"))
        message = "rejected a session: Origin %s, Host %s; see CARDIOWATCH_DASHBOARD_NAMES"
        logger.warning(message, origin, host, extra={"count": count})
    await _WRONG_ORIGIN(scope, receive, send)


def _would_render_blank(scope: Scope) -> bool:
    """Return whether Streamlit would answer this address with a page that stays blank.

    Its scripts are at `./static/...`, so the slashes that the browser sees count, and they fail on
    invalid percent-encoded UTF-8. Below a page's address the browser first probes for the server
    and needs a 404 to look elsewhere.
    """
    path, seen = scope["path"], scope["raw_path"]
    if path.startswith(_STREAMLIT_PATHS) or path.endswith(_PROBED_PATHS):
        return False
    is_too_deep = seen.rstrip(b"/").count(b"/") > 1
    return is_too_deep or "\ufffd" in path or bool(_INCOMPLETE_ESCAPE.search(seen))


def _is_allowed(message: bytes | None) -> bool:
    """Return whether a page sends such messages; Streamlit itself rejects unreadable ones."""
    try:
        return BackMsg.FromString(message or b"").WhichOneof("type") in ALLOWED_MESSAGES
    except DecodeError:
        return True


def _open_uploads() -> int:
    manager = cast("MemoryUploadedFileManager", get_instance().uploaded_file_mgr)
    return sum(len(files) for files in list(manager.file_storage.values()))


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
