"""Redirects users to the page they had asked for before the login; Streamlit opens the first page.

A cookie keeps the address; the browser sends it only with the provider's callback. Whatever it
holds, the redirect leads only to a page of the dashboard.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import quote, unquote

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboard.navigation import PAGES

RETURN_COOKIE = "_cardiowatch_way_back"

_CALLBACK = "/oauth2callback"
_COOKIE_MAX_AGE_S = 900
_MAX_QUERY_LENGTH = 1_500
"""The longest query that a page creates has about 200 characters."""
_PATHS = frozenset(f"/{page.address}" for page in PAGES.values())
_QUERY = re.compile(r"[!-\"$-~]*")
"""Printable ASCII without `#`."""


class LoginRedirect:
    """ASGI middleware that keeps a page's address in a cookie until the visitor has logged in.

    Parameters
    ----------
    is_logged_in
        Returns whether the sender of a request has logged in.
    """

    def __init__(self, app: ASGIApp, is_logged_in: Callable[[Scope], bool]) -> None:
        self.app = app
        self.is_logged_in = is_logged_in

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; keep its address, or redirect to the one that was kept."""
        kept, asked = _return_address(scope), _requested_address(scope)
        is_asked = bool(asked) and not self.is_logged_in(scope)

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start" and kept:
                _redirect(message, kept)
            elif message["type"] == "http.response.start" and is_asked:
                _set_cookie(message, quote(asked, safe=""), _COOKIE_MAX_AGE_S)
            await send(message)

        await self.app(scope, receive, send_on)


def _requested_address(scope: Scope) -> str:
    """Return the address of the requested page; empty = not a page."""
    if scope["type"] != "http" or scope["method"] != "GET":
        return ""
    query = scope["query_string"].decode("latin-1")
    return _validated_address(f"{scope['path']}?{query}" if query else scope["path"])


def _return_address(scope: Scope) -> str:
    """Return the kept address if this is the provider's callback; empty = none."""
    if scope["type"] != "http" or scope["path"] != _CALLBACK:
        return ""
    return _validated_address(unquote(HTTPConnection(scope).cookies.get(RETURN_COOKIE, "")))


def _validated_address(address: str) -> str:
    path, _, query = address.partition("?")
    fits = path in _PATHS and len(query) <= _MAX_QUERY_LENGTH and _QUERY.fullmatch(query)
    return address if fits else ""


def _redirect(message: Message, address: str) -> None:
    headers = MutableHeaders(scope=message)
    if headers.get("location") == "/":
        headers["location"] = address
        _set_cookie(message, "", 0)


def _set_cookie(message: Message, value: str, seconds: int) -> None:
    MutableHeaders(scope=message).append(
        "set-cookie",
        f"{RETURN_COOKIE}={value}; HttpOnly; Max-Age={seconds}; Path={_CALLBACK}; SameSite=lax",
    )
