"""A client that is fast enough: raw connections with one request in flight on each.

httpx needs more CPU per request than the service, so it would measure itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import cast

PATH = "/predict?source=load-test"


def encode_requests(lines: Iterable[bytes], path: str = PATH) -> list[bytes]:
    """Return the bytes of one POST per body."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    return [b"%sContent-Length: %d\r\n\r\n%s" % (head.encode(), len(b), b) for b in lines]


class Connection(asyncio.Protocol):
    """One keep-alive connection; it calls back for each answer and when it is lost.

    Parameters
    ----------
    answered
        Receives this connection, the status and the body.
    lost
        Receives this connection when the other side has closed it.
    """

    def __init__(
        self, answered: Callable[[Connection, int, bytes], None], lost: Callable[[Connection], None]
    ) -> None:
        self.waiting = False
        self.ending = False  # the service closes it after this answer
        self.head = b""  # of the last answer, in lower case
        self._answered = answered
        self._lost = lost
        self._received = b""

    def send(self, request: bytes) -> None:
        """Send a request; the one before must have been answered."""
        self.waiting = True
        self._transport.write(request)

    def close(self) -> None:
        """Abort the connection."""
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name

    def data_received(self, data: bytes) -> None:
        """Report an answer once it is complete; all of ours have a Content-Length."""
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        head = head.lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return
        self._received = b""
        self.head = head
        self.waiting = False
        self.ending = b"\r\nconnection: close" in head
        self._answered(self, int(head[9:12]), body)

    def connection_lost(self, _error: Exception | None) -> None:
        """Report the loss."""
        self._lost(self)


async def connect(
    port: int,
    number: int,
    answered: Callable[[Connection, int, bytes], None],
    lost: Callable[[Connection], None],
) -> Sequence[Connection]:
    """Open connections to a service on this machine."""
    loop = asyncio.get_running_loop()
    opened = []
    for _ in range(number):
        _, connection = await loop.create_connection(
            lambda: Connection(answered, lost), "127.0.0.1", port
        )
        opened.append(connection)
    return opened
