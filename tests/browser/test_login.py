"""People log in at a real OpenID Connect provider and see the pages of their groups' roles."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, Page, expect

from dashboard.auth.roles import ROLES
from tests.browser.conftest import Program, Servers, new_context, settled
from tests.dashboard import providers
from tests.programs import free_port

TITLES = {
    "overview": "Overview", "patient": "Patient", "batch": "Batch", "predictions": "Predictions",
    "explanations": "Explanations", "fairness": "Fairness", "drift": "Drift",
    "poisoning": "Poisoning", "load_tests": "Load tests", "model_card": "Model card",
}  # fmt: skip
LOGIN = """
[auth]
redirect_uri = "{dashboard}/oauth2callback"
cookie_secret = "0123456789abcdef0123456789abcdef"
client_id = "cardiowatch"
client_secret = "only-for-tests-only-for-tests"
server_metadata_url = "{provider}/.well-known/openid-configuration"
client_kwargs = {{ prompt = "login" }}

[cardiowatch.groups]
ward-3 = "clinician"
ethics = "reviewer"
machine-room = "operator"
heads = "admin"
"""
ROLE_OF = {
    "ward-3": "clinician", "ethics": "reviewer", "machine-room": "operator", "heads": "admin",
}  # fmt: skip


@pytest.fixture(scope="module")
def provider() -> Iterator[tuple[int, int]]:
    """A provider; yields its port, and the port of the dashboard that it knows."""
    port, dashboard = free_port(), free_port()
    with providers.provider(port, f"http://127.0.0.1:{dashboard}"):
        yield port, dashboard


@dataclass
class GuardedDashboard:
    """A dashboard with a login."""

    url: str
    program: Program


@pytest.fixture(scope="module")
def guarded(
    provider: tuple[int, int], servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GuardedDashboard]:
    folder = tmp_path_factory.mktemp("login")
    port, own = provider
    file = folder / "login.toml"
    url = f"http://127.0.0.1:{own}"
    file.write_text(LOGIN.format(dashboard=url, provider=f"http://127.0.0.1:{port}"))
    dashboard = Program(
        "dashboard", own, folder, database_url=servers.database_url, api_url=servers.api.url,
        login_file=file,
    )  # fmt: skip
    try:
        dashboard.start()
        yield GuardedDashboard(url, dashboard)
    finally:
        dashboard.stop()


@pytest.fixture
def visit(browser: Browser, guarded: GuardedDashboard) -> Iterator[Callable[[], Page]]:
    """Open the dashboard as a new visitor."""
    contexts = []

    def open_page() -> Page:
        contexts.append(new_context(browser))
        page = contexts[-1].new_page()
        page.goto(guarded.url)
        return page

    yield open_page
    for context in contexts:
        context.close()


def log_in(page: Page, guarded: GuardedDashboard, name: str) -> None:
    page.get_by_role("button", name="Sign in").click()
    page.locator("input[name=login]").fill(name)
    page.locator("input[name=password]").fill("anything")
    page.locator("button[type=submit]").click()
    page.locator("button[type=submit]").click()  # that Cardiowatch may know who it is
    page.wait_for_url(f"{guarded.url}/**")
    settled(page)


def names_in_the_bar(page: Page) -> list[str]:
    links = page.get_by_role("banner").get_by_role("link").all_inner_texts()
    return [text.strip() for text in links if text.strip()]


def test_who_is_not_logged_in_sees_nothing_but_how_to(
    visit: Callable[[], Page], guarded: GuardedDashboard
) -> None:
    page = visit()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    for name in ("predictions", "patient", "load-tests"):
        page.goto(f"{guarded.url}/{name}")
        expect(page.get_by_role("button", name="Sign in")).to_be_visible()
        expect(page.get_by_test_id("stDataFrame")).to_have_count(0)
        expect(page.get_by_role("dialog")).to_have_count(0)
        assert names_in_the_bar(page) == []


@pytest.mark.parametrize("group", ROLE_OF)
def test_each_group_sees_the_pages_of_its_role_and_no_other(
    visit: Callable[[], Page], guarded: GuardedDashboard, group: str
) -> None:
    page = visit()
    log_in(page, guarded, group)
    expect(page.get_by_text(f"Signed in as {group}")).to_be_visible()
    wanted = {TITLES[name] for name in ROLES[ROLE_OF[group]]}

    assert set(names_in_the_bar(page)) == wanted
    for title in sorted(set(TITLES.values()) - wanted)[:1]:  # all: tests/dashboard/auth/test_login
        page.goto(f"{guarded.url}/{title.lower().replace(' ', '-')}")
        settled(page)
        expect(page).not_to_have_title(f"{title} · Cardiowatch")
        expect(page.get_by_text("Your role does not include this page")).to_be_visible()
        expect(page.get_by_role("dialog")).to_have_count(0)
    for title in wanted & {"Overview", "Drift"}:  # they lead to pages that not everybody may see
        page.goto(f"{guarded.url}/{title.lower().replace('overview', '')}")
        settled(page)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        expect(page.get_by_text("This page could not be displayed")).to_have_count(0)


def test_a_login_leads_to_the_page_of_the_bookmark(
    visit: Callable[[], Page], guarded: GuardedDashboard
) -> None:
    page = visit()
    page.goto(f"{guarded.url}/predictions?result=Negative&period=7+days")
    log_in(page, guarded, "ward-3")
    expect(page).to_have_title("Predictions · Cardiowatch")
    expect(page).to_have_url(re.compile(r"/predictions\?(?=.*result=Negative)(?=.*period=7)"))


def test_a_group_without_a_role_is_told_whom_to_ask(
    visit: Callable[[], Page], guarded: GuardedDashboard
) -> None:
    for name in ("nobody", "cleaning"):
        page = visit()
        log_in(page, guarded, name)
        expect(page.get_by_text("none of your groups has a role")).to_be_visible()
        assert names_in_the_bar(page) == []


def test_who_logs_out_is_out(visit: Callable[[], Page], guarded: GuardedDashboard) -> None:
    page = visit()
    log_in(page, guarded, "heads")
    page.get_by_role("button", name="Sign out").click()
    # Ours is left by then; the provider asks whether its own login is to end, too.
    expect(page.get_by_role("heading", name="Do you want to sign-out")).to_be_visible()
    page.goto(f"{guarded.url}/predictions")
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()


def test_a_link_on_another_site_logs_nobody_out(
    visit: Callable[[], Page], guarded: GuardedDashboard
) -> None:
    page = visit()
    log_in(page, guarded, "heads")
    link = f'<a href="{guarded.url}/auth/logout">Kittens</a>'
    page.route(
        "http://evil.example/", lambda route: route.fulfill(body=link, content_type="text/html")
    )
    page.goto("http://evil.example/")
    page.get_by_text("Kittens").click()
    page.wait_for_url(f"{guarded.url}/**")
    expect(page.get_by_text("Signed in as heads")).to_be_visible()


def test_a_download_belongs_to_the_login_whose_page_made_it(
    visit: Callable[[], Page], guarded: GuardedDashboard
) -> None:
    page, other, stranger = visit(), visit(), visit()
    log_in(other, guarded, "heads")
    log_in(page, guarded, "ward-3")
    page.goto(f"{guarded.url}/predictions")
    settled(page)
    with page.expect_download() as export:
        page.get_by_role("button", name="Download CSV").click()
    assert export.value.failure() is None
    seen = [who.request.get(export.value.url).status for who in (page, other, stranger)]
    assert seen == [200, 404, 403]


def test_a_cookie_of_ones_own_making_opens_nothing(
    visit: Callable[[], Page], guarded: GuardedDashboard
) -> None:
    page = visit()
    log_in(page, guarded, "ethics")
    (cookie,) = [c for c in page.context.cookies() if c["name"] == "_streamlit_user"]
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Lax"
    page.context.clear_cookies()
    page.context.add_cookies(
        [{**cookie, "value": cookie["value"].replace("ethics", "heads")[:-4] + "AAAA"}]  # type: ignore[list-item]
    )
    page.goto(f"{guarded.url}/predictions")
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()


def test_the_secrets_of_the_login_are_printed_nowhere(guarded: GuardedDashboard) -> None:
    printed = guarded.program.printed()

    assert "only-for-tests" not in printed
    assert "0123456789abcdef" not in printed
