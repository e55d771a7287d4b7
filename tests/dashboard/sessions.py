"""A session of the dashboard, without a browser."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.web.server.starlette.starlette_app_utils import create_signed_value
from websockets.sync.client import ClientConnection, connect

from db.migrate import migrate
from tests.dashboard.benchmarks import benchmark, store
from tests.db.rows import row
from tests.db.rows import store as store_rows
from tests.programs import free_port, running, wait_for

SECRET = "0123456789abcdef0123456789abcdef"
LOGIN = """
[auth]
redirect_uri = "{dashboard}/oauth2callback"
cookie_secret = "0123456789abcdef0123456789abcdef"
client_id = "cardiowatch"
client_secret = "only-for-tests-only-for-tests"
server_metadata_url = "{provider}/.well-known/openid-configuration"
client_kwargs = {{ prompt = "login" }}
[cardiowatch.groups]
ethics = "reviewer"
machine-room = "operator"
ward-3 = "clinician"
"""


def xsrf(browser: int = 0) -> str:
    """Return the token against forged requests that Streamlit would give a browser."""
    return f"2|00000000|{browser:032x}|1700000000"


def login_cookie(
    group: str, secret: str = SECRET, age_s: float = 0, subject: str = "somebody", address: str = ""
) -> str:
    """Return the cookie of somebody who has logged in, to come after another."""
    claims = {
        "groups": [group], "iat": time.time() - age_s, "is_logged_in": True,
        "iss": "https://login.example", "sub": subject, "origin": address, "provider": "default",
    }  # fmt: skip
    value = create_signed_value(secret, "_streamlit_user", json.dumps(claims)).decode()
    return f"; _streamlit_user={value}"


def cookies_of(browser: httpx.Client) -> str:
    """Return the login that a browser has, to come after another cookie."""
    held = browser.cookies.jar
    return "".join(f"; {c.name}={c.value}" for c in held if c.name.startswith("_streamlit_user"))


@contextmanager
def served(
    folder: Path,
    *,
    login: bool = False,
    provider: str = "https://login.example",
    port: int = 0,
    **settings: object,
) -> Iterator[str]:
    """Run a dashboard on a log with one prediction; yields its address.

    Its page of load tests offers a download that is made with the page, and the page of predictions
    one that is made when it is asked for.
    """
    url, port = f"sqlite:///{folder}/log.db", port or free_port()
    address = f"http://127.0.0.1:{port}"
    migrate(url, lambda _: None)
    store(url, benchmark())
    asyncio.run(store_rows(url, [row()]))
    if login:
        settings["login_file"] = login_file = folder / "login.toml"
        login_file.write_text(LOGIN.format(dashboard=address, provider=provider))
    with running(
        "-m", "dashboard", database_url=url, dashboard_port=port, **settings
    ) as dashboard:  # fmt: skip
        wait_for(f"{address}/_stcore/health", dashboard)
        yield address


@contextmanager
def session(
    address: str, cookie: str = "", browser: int = 0, resumed: str = "", **headers: str
) -> Iterator[ClientConnection]:
    """Open a session as a page does, or come back to one."""
    with connect(
        f"{address.replace('http', 'ws', 1)}/_stcore/stream", origin=address,
        subprotocols=["streamlit", xsrf(browser), *([resumed] if resumed else [])],
        additional_headers=headers | {"Cookie": f"_streamlit_xsrf={xsrf(browser)}{cookie}"},
        max_size=None, proxy=None,
    ) as socket:  # type: ignore[arg-type]  # fmt: skip
        yield socket


def run(socket: ClientConnection, page: str = "") -> list[ForwardMsg]:
    """Have a page's script run; return everything that it says."""
    message = BackMsg()
    message.rerun_script.SetInParent()
    message.rerun_script.page_name = page
    return ask(socket, message, "script_finished")


def ask(socket: ClientConnection, message: BackMsg, last: str) -> list[ForwardMsg]:
    """Send a message; return everything that is said until the last of a type."""
    socket.send(message.SerializeToString())
    said: list[ForwardMsg] = []
    while not said or said[-1].WhichOneof("type") != last:
        said.append(ForwardMsg.FromString(socket.recv(timeout=60)))  # type: ignore[arg-type]
    return said


def session_id(said: list[ForwardMsg]) -> str:
    """Return the session's id from what its first run said."""
    (begun,) = [m.new_session for m in said if m.WhichOneof("type") == "new_session"]
    return str(begun.initialize.session_id)
