"""Keeps from Streamlit what no page of ours asks for."""

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
from dashboard.auth.roles import People, is_recent

FILES_MAX = 20
"""Uploads that are kept at once; the gate's form lets go of its file when it is sent."""

OF_A_PAGE = frozenset(
    (
        "rerun_script",
        "stop_script",
        "app_heartbeat",
        "file_urls_request",
        "backend_operation_request",
    )
)
"""The other messages are the developer's; Streamlit empties everybody's caches for any visitor."""

_SESSION = "/_stcore/stream"
_UPLOADS = "/_stcore/upload_file/"
_OF_STREAMLIT = ("/_stcore/", "/auth/", "/component/", "/media/", "/static/")
_HALF_AN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_LOOKED_FOR = ("/_stcore/health", "/_stcore/host-config")
_FILES = ("/media/", _UPLOADS)
_FOREIGN = PlainTextResponse("Sessions are for the pages of this address.", 403)
_TOO_MANY_FILES = PlainTextResponse("Too many files are open; try again later.", 503)
_NOTHING_HERE = PlainTextResponse("Not Found", 404)
_TO_THE_OVERVIEW = RedirectResponse("/", 302)
_LOG_IN = PlainTextResponse("Log in first.", 403)
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_SHOWN = 80
"""Characters of a header that a line of the log quotes."""

logger = logging.getLogger("cardiowatch.dashboard")
_seldom = logs.Seldom()


class RequestFilter:
    """ASGI middleware that answers in Streamlit's place what is not of a page of ours.

    Parameters
    ----------
    people
        Who may log in; without it nobody has to.
    """

    def __init__(self, app: ASGIApp, people: People | None = None) -> None:
        self.app = app
        self.people = people
        self._arriving = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        app = self.app
        if scope["type"] == "websocket":
            app = self._hear_page if _is_session_of_ours(scope) else _refuse_session
        elif scope["type"] == "http":
            app = self._answer_to(scope)
        await app(scope, receive, send)

    def _answer_to(self, scope: Scope) -> ASGIApp:
        path = scope["path"]
        if path.startswith("/_stcore/metrics"):
            return _NOTHING_HERE
        if path.startswith(_FILES) and not self._may_see_a_page(scope):
            return _LOG_IN
        if path.startswith(_UPLOADS):
            return self._take_file
        return _TO_THE_OVERVIEW if _stays_blank(scope) else self.app

    async def _hear_page(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def receive_from_page() -> Message:
            while True:
                message = await receive()
                if message["type"] != "websocket.receive" or _is_of_a_page(message.get("bytes")):
                    return message

        await self.app(scope, receive_from_page, send)

    async def _take_file(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "PUT" and self._arriving + _files_kept() >= FILES_MAX:
            await _TOO_MANY_FILES(scope, receive, send)
            return
        self._arriving += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self._arriving -= 1

    def _may_see_a_page(self, scope: Scope) -> bool:
        """Tell whether who asks has logged in and has a role."""
        return self.people is None or (
            has_logged_in(scope) and bool(self.people.pages(_claims(scope)))
        )


def has_logged_in(scope: Scope) -> bool:
    """Tell whether who asks has a login that counts."""
    return is_recent(_claims(scope))


def _claims(scope: Scope) -> Mapping[str, Any]:
    cookies = HTTPConnection(scope).cookies
    found = starlette_websocket._get_signed_cookie_with_chunks(cookies, USER_COOKIE_NAME)
    return dict(json.loads(found)) if found else {}


async def _refuse_session(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse a session; whose name is missing in our settings sees an empty page and no more."""
    count = _seldom.count("session") if scope["path"] == _SESSION else 0
    if count:
        headers = Headers(scope=scope)
        origin, host = (ascii(headers.get(name, ""))[:_SHOWN] for name in ("origin", "host"))
        told = "refused a session: Origin %s, Host %s; see CARDIOWATCH_DASHBOARD_NAMES"
        logger.warning(told, origin, host, extra={"count": count})
    await _FOREIGN(scope, receive, send)


def _stays_blank(scope: Scope) -> bool:
    """Tell whether nothing is at an address where Streamlit would send a page that stays blank.

    Its scripts are at `./static/...`, so the slashes that the browser sees count; and they stop at
    what is no percent-encoded UTF-8. Below the address of a page a browser first looks for the
    server and needs a 404 to look elsewhere.
    """
    path, seen = scope["path"], scope["raw_path"]
    if path.startswith(_OF_STREAMLIT) or path.endswith(_LOOKED_FOR):
        return False
    return (
        seen.rstrip(b"/").count(b"/") > 1 or "\ufffd" in path or bool(_HALF_AN_ESCAPE.search(seen))
    )


def _is_of_a_page(message: bytes | None) -> bool:
    """Tell whether a page sends such messages; Streamlit refuses what cannot be read."""
    try:
        return BackMsg.FromString(message or b"").WhichOneof("type") in OF_A_PAGE
    except DecodeError:
        return True


def _files_kept() -> int:
    manager = cast("MemoryUploadedFileManager", get_instance().uploaded_file_mgr)
    return sum(len(files) for files in list(manager.file_storage.values()))


def _is_session_of_ours(scope: Scope) -> bool:
    """Tell whether a page of this very address asks; browsers always say which page does.

    Streamlit would let in every origin of this machine, and ask another host for the machine's
    outer address before it refuses the rest.
    """
    headers = MutableHeaders(scope=scope)
    scheme, _, place = headers.get("origin", "").partition("://")
    host = headers.get("host", "")
    if scheme not in _DEFAULT_PORTS or host.removesuffix(_DEFAULT_PORTS[scheme]) != place:
        return False
    headers["host"] = place  # some proxies name the default port; Streamlit compares the letters
    return scope["path"] == _SESSION and starlette_websocket.is_host_allowed(place)
