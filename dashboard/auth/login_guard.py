"""What Streamlit's own login leaves open: unsigned tokens, foreign logouts, endless cookies."""

from __future__ import annotations

import logging

from joserfc.jws import JWSRegistry
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIES_MAX = 7 * 1024
"""Bytes of a login's cookies. A browser sends all of them in one line, and the server's WebSocket
takes lines of 8,192 bytes (websockets' `MAX_LINE_LENGTH`); the rest is for other cookies."""

_CALLBACK = "/oauth2callback"
_LOGOUT = "/auth/logout"
_OWN_SITES = (None, "same-origin", "none")
"""None = not a browser, or not of this decade; `none` = an address that somebody typed."""

_TOO_MANY_GROUPS = (
    "You cannot sign in: your account is in more groups than the cookies of a login can hold. "
    "Ask your administrator to have the login provider send fewer groups to this service."
)

logger = logging.getLogger("cardiowatch.dashboard")


def refuse_unsigned_tokens() -> None:
    """Take the algorithm `none` from this process.

    Otherwise a provider's metadata decide whether an ID token needs a signature.

    Source
    ------
    RFC 8725, section 3.2; OpenID Connect Core 1.0, section 3.1.3.7.
    """
    JWSRegistry.algorithms.pop("none", None)


class LoginGuard:
    """ASGI middleware around Streamlit's addresses of the login and the logout."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it."""
        app = self.app
        if scope["type"] == "http" and scope["path"].startswith(_LOGOUT):
            app = self.app if _is_of_our_site(scope) else RedirectResponse("/", 302)
        elif scope["type"] == "http" and scope["path"].startswith(_CALLBACK):
            app = self._log_in
        await app(scope, receive, send)

    async def _log_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal: Response | None = None

        async def send_unless_too_large(message: Message) -> None:
            nonlocal refusal
            if message["type"] == "http.response.start":
                refusal = _refusal(message)
            if refusal is None:
                await send(message)

        await self.app(scope, receive, send_unless_too_large)
        if refusal is not None:
            await refusal(scope, receive, send)


def _is_of_our_site(scope: Scope) -> bool:
    """Return whether a page of ours sends the request, or a person who types the address.

    For a picture or a link on any other site a browser sends the cookies, too.
    """
    return Headers(scope=scope).get("sec-fetch-site") in _OWN_SITES


def _refusal(answer: Message) -> Response | None:
    """Return the answer in place of cookies that no later request could carry; None = they fit."""
    cookies = Headers(raw=answer["headers"]).getlist("set-cookie")
    size = sum(len(cookie.partition(";")[0]) + len("; ") for cookie in cookies)
    if size <= COOKIES_MAX:
        return None
    logger.warning("refused a login: its cookies have %d bytes of %d", size, COOKIES_MAX)
    return PlainTextResponse(_TOO_MANY_GROUPS, 403)
