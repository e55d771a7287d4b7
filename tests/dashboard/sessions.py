"""A session of the dashboard, without a browser."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.web.server.starlette.starlette_app_utils import create_signed_value
from websockets.sync.client import ClientConnection, connect

XSRF = "2|00000000|00112233445566778899aabbccddeeff|1700000000"
SECRET = "0123456789abcdef0123456789abcdef"
LOGIN = f"""
[auth]
redirect_uri = "https://cardiowatch.example/oauth2callback"
cookie_secret = "{SECRET}"
client_id = "a"
client_secret = "b"
server_metadata_url = "https://login.example/.well-known/openid-configuration"
[cardiowatch.groups]
ethics = "reviewer"
"""


def login_cookie(group: str, secret: str = SECRET, age_s: float = 0) -> str:
    """Return the cookie of somebody who has logged in, to come after another."""
    claims = {"groups": [group], "iat": time.time() - age_s, "is_logged_in": True}
    value = create_signed_value(secret, "_streamlit_user", json.dumps(claims)).decode()
    return f"; _streamlit_user={value}"


@contextmanager
def session(address: str) -> Iterator[ClientConnection]:
    """Open a session as a page does."""
    with connect(
        f"{address.replace('http', 'ws', 1)}/_stcore/stream", origin=address,
        subprotocols=["streamlit", XSRF], additional_headers={"Cookie": f"_streamlit_xsrf={XSRF}"},
        max_size=None, proxy=None,
    ) as socket:  # type: ignore[arg-type]  # fmt: skip
        yield socket


def run(socket: ClientConnection) -> list[ForwardMsg]:
    """Have the page's script run; return everything that it says."""
    message = BackMsg()
    message.rerun_script.SetInParent()
    socket.send(message.SerializeToString())
    said = []
    while not said or said[-1].WhichOneof("type") != "script_finished":
        said.append(ForwardMsg.FromString(socket.recv(timeout=60)))  # type: ignore[arg-type]
    return said


def session_id(said: list[ForwardMsg]) -> str:
    """Return the session's id from what its first run said."""
    (begun,) = [m.new_session for m in said if m.WhichOneof("type") == "new_session"]
    return str(begun.initialize.session_id)
