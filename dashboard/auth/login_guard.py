"""What Streamlit's login leaves open: unsigned tokens, foreign logouts, and two missing limits."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import suppress
from typing import Any

from joserfc.jws import JWSRegistry
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboard.auth.identity import is_logged_in

SESSIONS_BEFORE_LOGIN = 256
COOKIES_MAX = 7 * 1024
"""Bytes of a login's cookies. A browser sends all of them in one line, and the server's WebSocket
takes lines of 8,192 bytes (websockets' `MAX_LINE_LENGTH`); the rest is for other cookies."""

_OWN_SITES = (None, "same-origin", "none")
"""A browser also sends the cookies when another site links to the logout. None = not a browser, an
old one, or no TLS; `none` = an address that was typed."""
_TOO_MANY_GROUPS = PlainTextResponse(
    "You cannot sign in: your account is in more groups than the cookies of a login can hold. "
    "Ask your administrator to have the login provider send fewer groups to this service.",
    403,
)

logger = logging.getLogger("cardiowatch.dashboard")


def refuse_unsigned_tokens() -> None:
    """Remove the algorithm `none` from this process.

    Otherwise a provider's metadata decide whether an ID token needs a signature.

    Source
    ------
    RFC 8725, section 3.2; OpenID Connect Core 1.0, section 3.1.3.7.
    """
    JWSRegistry.algorithms.pop("none", None)


class LoginGuard:
    """ASGI middleware around the login, the logout and the sessions before login.

    One session too many ends the oldest. Were the newest rejected instead, one visitor with all the
    sessions could keep everybody out.
    """

    def __init__(self, app: ASGIApp, max_sessions: int = SESSIONS_BEFORE_LOGIN) -> None:
        self.app = app
        self._max_sessions = max_sessions
        self._sessions: deque[asyncio.Future[Any]] = deque()
        """The oldest first."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or reject it."""
        app, path = self.app, scope.get("path")
        if scope["type"] == "websocket" and not is_logged_in(scope):
            app = self._run_session
        elif (
            path == "/auth/logout" and Headers(scope=scope).get("sec-fetch-site") not in _OWN_SITES
        ):
            app = RedirectResponse("/", 302)
        elif path == "/oauth2callback":
            app = self._log_in
        await app(scope, receive, send)

    async def _run_session(self, scope: Scope, receive: Receive, send: Send) -> None:
        if len(self._sessions) >= self._max_sessions:
            self._sessions.popleft().cancel()
        session = asyncio.ensure_future(self.app(scope, receive, send))
        self._sessions.append(session)
        try:
            await session
        except asyncio.CancelledError:
            with suppress(OSError):  # the browser has left; 1013 = try again later
                await send({"type": "websocket.close", "code": 1013})
        finally:
            with suppress(ValueError):  # the oldest is no longer in it
                self._sessions.remove(session)

    async def _log_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_rejected = False

        async def send_unless_too_large(message: Message) -> None:
            nonlocal is_rejected
            if message["type"] == "http.response.start" and _cookie_bytes(message) > COOKIES_MAX:
                is_rejected = True
                logger.warning("rejected a login: its cookies exceed %d bytes", COOKIES_MAX)
                await _TOO_MANY_GROUPS(scope, receive, send)
            elif not is_rejected:
                await send(message)

        await self.app(scope, receive, send_unless_too_large)


def _cookie_bytes(answer: Message) -> int:
    cookies = Headers(raw=answer["headers"]).getlist("set-cookie")
    return sum(len(cookie.partition(";")[0]) + len("; ") for cookie in cookies)
