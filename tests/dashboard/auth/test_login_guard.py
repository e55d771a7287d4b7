"""Attacks on the login by a provider, by another site's page and by an account of many groups."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.dashboard.providers import log_in, provider
from tests.dashboard.sessions import cookies_of, run, served, session
from tests.programs import free_port


@contextmanager
def house(folder: Path, how: str = "signed") -> Iterator[str]:
    """Run a provider and a dashboard that asks it; yields the dashboard's address."""
    port, own = free_port(), free_port()
    with (
        provider(port, f"http://127.0.0.1:{own}", how) as at,
        served(folder, login=True, provider=at, port=own) as address,
    ):
        yield address


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A dashboard whose provider signs its ID tokens."""
    with house(tmp_path_factory.mktemp("signed")) as address:
        yield address


@pytest.fixture(scope="module")
def unsigned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A dashboard whose provider does not, and says so in its metadata."""
    with house(tmp_path_factory.mktemp("unsigned"), "unsigned") as address:
        yield address


def is_logged_in(browser: httpx.Client) -> bool:
    return "_streamlit_user" in browser.cookies


def sees_pages(address: str, browser: httpx.Client) -> bool:
    """Return whether a session of this browser is told the name of who has logged in."""
    with session(address, cookies_of(browser)) as socket:
        return any(b"Signed in as" in message.SerializeToString() for message in run(socket))


def test_a_token_that_its_provider_has_signed_logs_in(signed: str) -> None:
    with log_in(signed, "ward-3") as (browser, page):
        assert (page.status_code, str(page.url)) == (200, f"{signed}/")
        assert sees_pages(signed, browser)


def test_an_unsigned_token_logs_nobody_in_whatever_the_providers_metadata_say(
    unsigned: str,
) -> None:
    with log_in(unsigned, "ward-3") as (browser, page):
        assert str(page.url) == f"{unsigned}/"
        assert not is_logged_in(browser)
        assert not sees_pages(unsigned, browser)


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize(
    ("path", "status"), [("/auth/logout", 302), ("/auth/logout?x=1", 302), ("/auth/logout%0a", 404)]
)
def test_another_sites_page_logs_nobody_out(signed: str, site: str, path: str, status: int) -> None:
    with log_in(signed, "ward-3") as (browser, _):
        sent = {"Sec-Fetch-Site": site}
        answer = browser.get(f"{signed}{path}", headers=sent, follow_redirects=False)
        assert (answer.status_code, answer.headers.get("location", "/")) == (status, "/")
        assert is_logged_in(browser)
        assert sees_pages(signed, browser)


@pytest.mark.parametrize("site", ["same-origin", "none", None])
def test_a_page_of_ours_or_a_person_logs_out(signed: str, site: str | None) -> None:
    with log_in(signed, "ward-3") as (browser, _):
        sent = {"Sec-Fetch-Site": site} if site else {}
        answer = browser.get(f"{signed}/auth/logout", headers=sent, follow_redirects=False)
        assert "/session/end" in answer.headers["location"]
        assert not is_logged_in(browser)


def test_an_account_of_as_many_groups_as_its_cookies_hold_logs_in(signed: str) -> None:
    with log_in(signed, "600 groups") as (browser, page):
        assert page.status_code == 200
        assert sees_pages(signed, browser)


def test_an_account_of_too_many_groups_is_told_so_and_holds_no_cookie(signed: str) -> None:
    with log_in(signed, "1500 groups") as (browser, page):
        assert page.status_code == 403
        assert page.text.startswith("You cannot sign in: your account is in more groups than")
        assert not is_logged_in(browser)
        assert not sees_pages(signed, browser)
