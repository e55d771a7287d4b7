"""Keeps from Streamlit what no page of ours asks for."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit.web.server.starlette.starlette_websocket import is_host_allowed

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


class RequestFilter:
    """ASGI middleware that answers in Streamlit's place what is not of a page of ours."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "websocket" and not _is_session_of_ours(scope):
            refusal = PlainTextResponse("Sessions are for the pages of this address.", 403)
            await refusal(scope, receive, send)
        else:
            await self.app(scope, receive, send)


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
    return scope["path"] == "/_stcore/stream" and is_host_allowed(place)
