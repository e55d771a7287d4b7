"""A toy ASGI application behind the server: what is tested here knows nothing of patients.

`python -m tests.api.server.toy PORT FILES` serves it with a limit of open files.
"""

from __future__ import annotations

import resource
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send

from api.server import connection_limits
from api.server.connection import Connection
from api.server.request_cycle import WHOLE_RESPONSE


async def toy(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the length of the body; 413, before it is read, when it is announced as large."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    headers = dict(scope["headers"])
    if int(headers.get(b"content-length", b"0")) > 1_000_000:
        await respond(send, 413, b"")
        return
    if scope["path"] in ("/much", "/huge"):
        await respond(send, 200, b"x" * {"/much": 20_000, "/huge": 20_000_000}[scope["path"]])
        return
    if scope["path"] == "/unread":
        await respond(send, 200, b"")
        return
    length, more_body = 0, True
    while more_body:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        length += len(message["body"])
        more_body = message["more_body"]
        if length > 1_000_000:
            await respond(send, 413, b"")
            return
    await respond(send, 200, b"%d" % length)


async def respond(send: Send, status: int, body: bytes) -> None:
    """Send a whole response in one message."""
    headers = [(b"content-type", b"text/plain")]
    await send({"type": WHOLE_RESPONSE, "status": status, "headers": headers, "body": body})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


def _config(app: Any, **settings: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app, host="127.0.0.1", ws="none", log_config=None, log_level="warning", access_log=False,
        loop="api.server.accept_loop:AcceptLoop", http=Connection,
        **{"timeout_keep_alive": 60, **settings},
    )  # fmt: skip


@contextmanager
def serving(app: Any = toy, **settings: Any) -> Iterator[int]:
    """Serve an application in a thread until the block ends; lend its port."""
    server = uvicorn.Server(_config(app, port=0, **settings))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


if __name__ == "__main__":
    files = int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    connection_limits.raise_file_limit()
    uvicorn.Server(_config(toy, port=int(sys.argv[1]))).run()
