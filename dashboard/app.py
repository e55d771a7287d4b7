"""The dashboard as an ASGI application: Streamlit behind security headers, login and a filter.

Run it with `python -m dashboard`.
"""

from __future__ import annotations

import base64
import contextlib
import gc
import hashlib
import importlib
import logging
import re
from collections.abc import AsyncIterator
from pathlib import Path

import streamlit as st
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import logs
from dashboard.auth import login_guard
from dashboard.auth.identity import is_logged_in
from dashboard.auth.login_guard import LoginGuard
from dashboard.auth.login_redirect import LoginRedirect
from dashboard.auth.request_filter import RequestFilter
from dashboard.auth.roles import RoleMap
from dashboard.navigation import PAGES
from dashboard.shared import texts as shared_texts

SCRIPT = Path(__file__).parent / "pages" / "streamlit_app.py"

_PRELOADED_MODULES = (
    "httpx",
    "pandas",
    "plotly.graph_objects",
    "pyarrow",
    *(f"dashboard.pages.{name}.panels" for name in PAGES),
    "dashboard.pages.poisoning.gate",
    "db.export",
    "db.reader.queries",
)


def _inline_scripts() -> str:
    """Return the CSP hashes of the inline scripts in the one page that Streamlit ships."""
    page = Path(st.__file__).with_name("static").joinpath("index.html").read_text("utf-8")
    hashes = [
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        for script in re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    ]
    return " ".join(f"'sha256-{value}'" for value in hashes)


HEADERS = {
    # Streamlit writes one inline script and styles its elements inline; everything else, and every
    # connection, is this server's own. `frame-ancestors`: no other site can show it in a frame.
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' 'wasm-unsafe-eval' {_inline_scripts()}",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "connect-src 'self'",
            "manifest-src 'self'",
            "worker-src 'self' blob:",
            "base-uri 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class SecurityHeaders:
    """ASGI middleware that adds `HEADERS` to every HTTP response, and removes all CORS headers.

    Parameters
    ----------
    cookies_over_tls
        Mark cookies as `Secure`; Streamlit does not.
    """

    def __init__(self, app: ASGIApp, *, cookies_over_tls: bool = False) -> None:
        self.app = app
        self.cookies_over_tls = cookies_over_tls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and add the headers to the response."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                # Streamlit allows uploads from http://localhost:8501, with cookies.
                message["headers"] = [
                    header
                    for header in message["headers"]
                    if not header[0].startswith(b"access-control-")
                ]
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                if scope["path"].startswith("/media/"):
                    headers["Cache-Control"] = "no-store"  # it may be an export of patient data
                if self.cookies_over_tls:
                    message["headers"] = [
                        (name, value + b"; Secure" if name == b"set-cookie" else value)
                        for name, value in message["headers"]
                    ]
            await send(message)

        await self.app(scope, receive, send_with_headers)


class RedactExceptionMessages(logging.Filter):
    """Keeps the type and location of a page's error and drops its message.

    The message may quote what was entered; no patient's value belongs in a log.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite a record that carries an exception; every record is kept."""
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            place = logs.stack_locations(error.__traceback__)
            record.msg, record.args = "page error: %s in %s", (type(error).__name__, place)
            record.exc_info = record.exc_text = None
        return True


def _is_not_rejected_handshake(record: logging.LogRecord) -> bool:
    """Return whether to keep a line; uvicorn logs a rejected WebSocket as an error of ours."""
    return record.msg != "ASGI callable returned without completing handshake."


def render_error(_: Exception) -> bool:
    """Show that the page failed, for an error that no page expected."""
    st.error(shared_texts.UNEXPECTED, title=shared_texts.UNEXPECTED_TITLE)
    return True


@contextlib.asynccontextmanager
async def lifespan(_: st.App) -> AsyncIterator[None]:
    """Import what the pages import, then freeze it for the garbage collector.

    Streamlit collects garbage after every script run; frozen objects are not searched again.
    Measured on the prototype: 14-32 ms of CPU for an interaction instead of 65-82 ms.
    """
    for name in _PRELOADED_MODULES:
        importlib.import_module(name)
    # Streamlit undoes `access_log=False`.
    for logger in ("uvicorn.access", "uvicorn.error"):
        logging.getLogger(logger).setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").addFilter(_is_not_rejected_handshake)
    gc.collect()
    gc.freeze()
    yield


def create_app(role_map: RoleMap | None = None, iap: Middleware | None = None) -> st.App:
    """Return the application; one per process.

    Parameters
    ----------
    role_map
        Which role may see which page; without it nobody has to log in.
    iap
        Rejects what did not come through Google's Identity-Aware Proxy; None = there is none.
    """
    login_guard.refuse_unsigned_tokens()
    cookies_over_tls = role_map is not None and role_map.over_tls
    logging.getLogger("streamlit.error_util").addFilter(RedactExceptionMessages())
    return st.App(
        SCRIPT,
        lifespan=lifespan,
        middleware=[
            Middleware(SecurityHeaders, cookies_over_tls=cookies_over_tls),
            *([] if iap is None else [iap]),
            *([] if role_map is None else [Middleware(LoginRedirect, is_logged_in=is_logged_in)]),
            Middleware(RequestFilter, role_map=role_map),
            *([] if role_map is None else [Middleware(LoginGuard)]),
            # 4-7.5 MB of scripts become 1.4-1.8 MB.
            Middleware(GZipMiddleware, minimum_size=1024, compresslevel=6),
        ],
        on_script_error=render_error,
    )
