"""How the service ends: callers are told to leave before the door is shut."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable

from starlette.types import Message, Send

DRAIN_S = 1.0
"""So long after SIGTERM every reply says `Connection: close`. A server that closes kept-alive
connections at once drops the requests that lie unread in them."""


def drain_on_sigterm(begin: Callable[[], None]) -> None:
    """Call `begin` on SIGTERM, and pass the signal on to the server `DRAIN_S` later.

    To be called in the running event loop; does nothing outside the main thread, where no signal
    arrives.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    shut_down = signal.getsignal(signal.SIGTERM)
    loop = asyncio.get_running_loop()

    def pass_on() -> None:
        if callable(shut_down):
            shut_down(signal.SIGTERM, None)

    def on_sigterm(*_: object) -> None:
        begin()
        loop.call_soon_threadsafe(loop.call_later, DRAIN_S, pass_on)

    signal.signal(signal.SIGTERM, on_sigterm)


def closing(send: Send) -> Send:
    """Add `Connection: close` to a reply."""

    async def send_and_close(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [*message.get("headers", ()), (b"connection", b"close")]
            message = {**message, "headers": headers}
        await send(message)

    return send_and_close
