"""Leads who has logged in to the page that they had asked for; Streamlit leads all to the first.

A page that somebody asks for before the login is kept in a cookie, which the browser sends with the
provider's answer alone. Whoever wrote it, it leads to nothing but a page of ours.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import quote, unquote

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboard.navigation import ADDRESSES

COOKIE = "_cardiowatch_way_back"

_CALLBACK = "/oauth2callback"
_KEPT_S = 900
_LONGEST = 1_500
"""Characters; the longest address that a page makes has some 200."""
_PAGES = frozenset(f"/{address}" for address in ADDRESSES.values())
_QUERY = re.compile(r"[!-\"$-~]*")
"""What is printed of ASCII, without the mark of a fragment."""


class WayBack:
    """ASGI middleware that keeps the address of a page until its visitor has logged in.

    Parameters
    ----------
    knows
        Tells whether who asks has logged in.
    """

    def __init__(self, app: ASGIApp, knows: Callable[[Scope], bool]) -> None:
        self.app = app
        self.knows = knows

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; keep its address, or lead to the one that was kept."""
        kept, asked = _kept(scope), _asked(scope)
        is_asked = bool(asked) and not self.knows(scope)

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start" and kept:
                _lead(message, kept)
            elif message["type"] == "http.response.start" and is_asked:
                _set_cookie(message, quote(asked, safe=""), _KEPT_S)
            await send(message)

        await self.app(scope, receive, send_on)


def _asked(scope: Scope) -> str:
    """Return the address of the page that is asked for; empty = it is none."""
    if scope["type"] != "http" or scope["method"] != "GET":
        return ""
    query = scope["query_string"].decode("latin-1")
    return _of_a_page(f"{scope['path']}?{query}" if query else scope["path"])


def _kept(scope: Scope) -> str:
    """Return the address of the page to which the provider's answer leads; empty = none."""
    if scope["type"] != "http" or scope["path"] != _CALLBACK:
        return ""
    return _of_a_page(unquote(HTTPConnection(scope).cookies.get(COOKIE, "")))


def _of_a_page(address: str) -> str:
    path, _, query = address.partition("?")
    fits = path in _PAGES and len(query) <= _LONGEST and _QUERY.fullmatch(query)
    return address if fits else ""


def _lead(message: Message, address: str) -> None:
    headers = MutableHeaders(scope=message)
    if headers.get("location") == "/":
        headers["location"] = address
        _set_cookie(message, "", 0)


def _set_cookie(message: Message, value: str, seconds: int) -> None:
    MutableHeaders(scope=message).append(
        "set-cookie",
        f"{COOKIE}={value}; HttpOnly; Max-Age={seconds}; Path={_CALLBACK}; SameSite=lax",
    )
