"""How many sessions there may be of people who have not logged in."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

SESSIONS_BEFORE_LOGIN = 256

_TRY_AGAIN_LATER = 1013


class SessionLimit:
    """Runs sessions, so many at once; one too many ends the oldest.

    To refuse the newest would let whoever holds all places keep everybody else from the login.
    """

    def __init__(self, most: int = SESSIONS_BEFORE_LOGIN) -> None:
        self._most = most
        self._open: dict[asyncio.Event, None] = {}
        """In the order in which they came; set = it is to end."""

    async def run(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Run a session of `app` until it ends or is the oldest of too many."""
        with self._place() as end:
            ending = asyncio.create_task(end.wait())
            try:
                await app(scope, _until(ending, receive), send)
            finally:
                ending.cancel()
            if end.is_set():
                with suppress(OSError):  # the browser was faster
                    await send({"type": "websocket.close", "code": _TRY_AGAIN_LATER})

    @contextmanager
    def _place(self) -> Iterator[asyncio.Event]:
        if len(self._open) >= self._most:
            oldest = next(iter(self._open))
            del self._open[oldest]
            oldest.set()
        end = asyncio.Event()
        self._open[end] = None
        try:
            yield end
        finally:
            self._open.pop(end, None)


def _until(ending: asyncio.Task[Any], receive: Receive) -> Receive:
    """Receive until the session is to end; it then hears that the browser has left."""
    is_connected = False

    async def receive_or_end() -> Message:
        nonlocal is_connected
        if not is_connected:  # the handshake comes first
            is_connected = True
            return await receive()
        message = asyncio.ensure_future(receive())
        try:
            await asyncio.wait((message, ending), return_when=asyncio.FIRST_COMPLETED)
            if not ending.done():
                return message.result()
        finally:
            message.cancel()
        return {"type": "websocket.disconnect", "code": _TRY_AGAIN_LATER}

    return receive_or_end
