"""Shutdown: clients are asked to close their connections before the server closes its socket."""

from __future__ import annotations

import asyncio
import signal
import threading

DRAIN_S = 1.0
"""Seconds after SIGTERM in which every response says `Connection: close`. A server that closes
kept-alive connections at once drops the requests that lie unread in them."""

draining = False
"""Set by SIGTERM: from then on a response is its connection's last."""


def drain_on_sigterm() -> None:
    """On SIGTERM drain for `DRAIN_S`, then pass the signal on to the server.

    Call it in the running event loop. Outside the main thread, where no signal arrives, it does
    nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    shut_down = signal.getsignal(signal.SIGTERM)
    loop = asyncio.get_running_loop()

    def pass_on() -> None:
        if callable(shut_down):
            shut_down(signal.SIGTERM, None)

    def on_sigterm(*_: object) -> None:
        global draining
        draining = True
        loop.call_soon_threadsafe(loop.call_later, DRAIN_S, pass_on)

    signal.signal(signal.SIGTERM, on_sigterm)
