"""How many sessions there may be before login."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

SESSIONS_BEFORE_LOGIN = 256

_TRY_AGAIN_LATER = 1013


class SessionLimit:
    """Runs a limited number of sessions; one too many ends the oldest.

    Were the newest rejected instead, one visitor with all the sessions could keep everybody out.
    """

    def __init__(self, limit: int = SESSIONS_BEFORE_LOGIN) -> None:
        self._limit = limit
        self._open: deque[asyncio.Future[Any]] = deque()
        """The oldest first."""

    async def run(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Run a session of `app` until it ends or is the oldest of too many."""
        if len(self._open) >= self._limit:
            self._open.popleft().cancel()
        session = asyncio.ensure_future(app(scope, receive, send))
        self._open.append(session)
        try:
            await session
        except asyncio.CancelledError:
            with suppress(OSError):  # the browser has left
                await send({"type": "websocket.close", "code": _TRY_AGAIN_LATER})
        finally:
            with suppress(ValueError):  # the oldest is no longer in it
                self._open.remove(session)
