"""Who asks for a page that they may not see, and the way back to it after the login."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from starlette.types import Message, Receive, Scope, Send
from streamlit.testing.v1 import AppTest

from dashboard import navigation
from dashboard.auth import texts
from dashboard.auth.login_redirect import RETURN_COOKIE, LoginRedirect
from dashboard.auth.roles import ROLES
from tests.dashboard.conftest import log_in, shown

NOWHERE = (
    "//evil.example", "https://evil.example", "/\\evil.example", "/predictions\r\nSet-Cookie: a=b",
    "/nowhere", "/predictions/x", "/predictions#x", "predictions", "/predictions?é", "/?a b", "",
    "/predictions?" + "x" * 2000, "javascript:alert(1)", "/\tpredictions", "/predictions\n",
)  # fmt: skip
PAGES = ("/", "/?period=7d", "/predictions?result=1&id=019ac0a5", "/load-tests", "/model")


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize("role", ["", "clinician", "reviewer", "operator"])
def test_a_page_that_may_not_be_seen_says_why_in_its_place(pages: AppTest, role: str) -> None:
    if role:
        log_in(pages, role)
    page = pages.run()
    forbidden = set(navigation.PAGES) - ROLES.get(role, frozenset())
    assert "load_tests" in forbidden or "predictions" in forbidden
    for name in sorted(forbidden):
        page.switch_page(f"{name}/page.py").run()
        assert not page.exception
        assert (texts.NO_ACCESS if role else texts.SIGN_IN_NEEDED) in shown(page)
        assert not page.dataframe
        assert not page.table
        assert not page.get("segmented_control")


async def answer(path: str, *, query: str = "", cookie: str = "", known: bool = False) -> Message:
    """Return the response head after `LoginRedirect`, of a server that redirects to `/`."""
    sent: list[Message] = []

    async def server(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 302, "headers": [(b"location", b"/")]})

    async def keep(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "GET", "path": path, "query_string": query.encode(),
        "headers": [(b"cookie", f"{RETURN_COOKIE}={cookie}".encode())] if cookie else [],
    }  # fmt: skip
    await LoginRedirect(server, lambda _: known)(scope, pytest.fail, keep)  # type: ignore[arg-type]
    return sent[0]


def header(message: Message, name: bytes) -> str:
    return next((value.decode() for key, value in message["headers"] if key == name), "")


@pytest.mark.anyio
@pytest.mark.parametrize("page", PAGES)
async def test_a_login_leads_to_the_page_that_was_asked_for(page: str) -> None:
    path, _, query = page.partition("?")
    asked = header(await answer(path, query=query), b"set-cookie")
    name, _, kept = asked.split(";")[0].partition("=")
    assert name == RETURN_COOKIE
    assert {"HttpOnly", "Path=/oauth2callback", "SameSite=lax"} <= set(asked.split("; "))

    back = await answer("/oauth2callback", cookie=kept)
    assert header(back, b"location") == page
    assert "Max-Age=0" in header(back, b"set-cookie")


@pytest.mark.anyio
@pytest.mark.parametrize("address", NOWHERE)
async def test_a_login_leads_to_pages_of_ours_alone(address: str) -> None:
    back = await answer("/oauth2callback", cookie=quote(address, safe=""))
    assert header(back, b"location") == "/"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("path", "known"), [("/predictions", True), ("/nowhere", False), ("/static/a.js", False)]
)
async def test_nothing_is_kept_of_who_is_logged_in_or_asks_for_no_page(
    path: str, known: bool
) -> None:
    assert header(await answer(path, known=known), b"set-cookie") == ""
