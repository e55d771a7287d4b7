"""Texts that would be scripts or links, in every place that a page shows: none becomes one.

The browser is told to ignore the page's own policy, so that what is tested is what the pages write.
The seeded tenth of the addresses runs in `make test`; `HOSTILE=all` (`make soak`) tries them all.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, BrowserContext, Page
from sqlalchemy import create_engine, insert, text

from db.schema import rejections
from tests.browser.conftest import Servers, settled
from tests.browser.test_drift import alarm
from tests.dashboard.benchmarks import benchmark, store
from tests.programs import ROOT

PAYLOADS = (ROOT / "tests" / "hostile" / "payloads.txt").read_text().splitlines()
LINKS = (
    "<a href=https://hacked.example>x</a>",
    "[x](https://hacked.example)",
    "www.hacked.example",
)
PATHS = (
    "", "patient", "batch", "predictions", "explanations", "fairness", "drift", "poisoning",
    "load-tests",
)  # fmt: skip
PARAMETERS = (
    "id", "before", "since", "until", "result", "source", "period", "sex", "age", "columns",
    "window", "grouping", "threshold", "attack", "page", "embed", "embed_options",
)  # fmt: skip
SAYING = ("verdict", "reason", "sentence", "message", "note", "detail", "words", "title")
"""Keys of stored reports whose values are text for people."""

ALL = os.environ.get("HOSTILE") == "all"

_WATCH = """
window.ran = [];
window.hacked = () => window.ran.push(location.href);
"""


def share(of: list[str]) -> list[str]:
    """Return all of a list, or the same tenth of it every time."""
    if ALL:
        return of
    return random.Random(7).sample(of, max(1, len(of) // 10))  # noqa: S311


@pytest.fixture(scope="module")
def unguarded(browser: Browser) -> Iterator[BrowserContext]:
    """A visitor whose browser ignores the content security policy."""
    context = browser.new_context(bypass_csp=True, viewport={"width": 1440, "height": 900})
    context.set_default_timeout(90_000)  # the Drift page computes, on a busy machine for long
    context.add_init_script(_WATCH)
    yield context
    context.close()


@pytest.fixture
def page(unguarded: BrowserContext) -> Iterator[Page]:
    page = unguarded.new_page()
    asked: list[str] = []
    page.on("dialog", lambda dialog: dialog.dismiss())
    page.on("request", lambda request: asked.append(request.url))
    yield page
    page.close()
    assert not [url for url in asked if not url.startswith(("http://127.0.0.1", "data:", "blob:"))]


def nothing_ran(page: Page, where: str, *, is_page: bool = True) -> None:
    """Assert that no script ran, and that no text became an element that runs or leads away."""
    if is_page:
        settled(page)
    found = page.evaluate(
        """() => {
            const leadsAway = link => {
                const to = link.getAttribute('href') ?? link.getAttribute('xlink:href') ?? ''
                return URL.canParse(to, location) && new URL(to, location).host !== location.host
            }
            return [
            ...window.ran,
            ...[...document.querySelectorAll('body *')].filter(element =>
                [...element.attributes].some(a => a.name.startsWith('on')
                    || (['href', 'src', 'action', 'formaction', 'data', 'srcdoc', 'xlink:href']
                            .includes(a.name)
                        && /^\\s*(javascript:|data:text)/i.test(a.value)))
                || (element.matches('script, iframe, object, embed')
                    && element.outerHTML.includes('hacked'))
                || (element.matches('a') && leadsAway(element))
            ).map(element => element.outerHTML.slice(0, 200)),
            ]
        }"""
    )
    assert found == [], where


def spoiled(value: Any, words: str, key: str = "") -> Any:
    """Put words in the place of every text for people in a stored report."""
    if isinstance(value, dict):
        return {name: spoiled(inner, words, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [spoiled(inner, words, key) for inner in value]
    return words if isinstance(value, str) and key in SAYING else value


@pytest.fixture(scope="module")
def spoiled_house(servers: Servers) -> Servers:
    """The product with every stored text replaced, as whoever can write the database might."""
    everything = " \n\n".join(PAYLOADS)
    alarm(servers)
    store(servers.database_url, benchmark())
    newest = servers.predict(source="live")
    engine = create_engine(servers.database_url)
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    refused = [
        {"minute": now - timedelta(minutes=n), "route": payload[:128], "status": 422,
         "field": payload[:64], "reason": payload[-64:], "source": "live", "count": 1}
        for n, payload in enumerate(PAYLOADS)
    ]  # fmt: skip
    with closing(engine.connect()) as connection:
        connection.execute(insert(rejections), refused)
        ids = connection.execute(
            text("SELECT id FROM predictions ORDER BY id DESC LIMIT 60")
        ).scalars().all()  # fmt: skip
        for at, wanted in enumerate(ids):
            words = PAYLOADS[at % len(PAYLOADS)][:64]
            connection.execute(
                text(
                    "UPDATE predictions SET model_version = :words, key_id = :words WHERE id = :id"
                ),
                {"words": words, "id": wanted},
            )
        stored = connection.execute(text("SELECT id, report FROM reports")).all()
        for report_id, report in stored:
            changed = json.dumps(spoiled(json.loads(report), everything))
            connection.execute(
                text("UPDATE reports SET verdict = :words, report = :report WHERE id = :id"),
                {"words": everything, "report": changed, "id": report_id},
            )
        (load_id, summary), = connection.execute(
            text("SELECT id, summary FROM load_tests ORDER BY id DESC LIMIT 1")
        ).all()  # fmt: skip
        for at, name in enumerate(("textbook", "Example CPU", "abc1234")):
            summary = summary.replace(name, json.dumps(PAYLOADS[12 + at] + LINKS[at])[1:-1])
        connection.execute(
            text("UPDATE load_tests SET summary = :summary WHERE id = :id"),
            {"summary": summary, "id": load_id},
        )
        connection.commit()
    engine.dispose()
    assert newest in ids
    return servers


def test_there_are_fifty_payloads_and_each_would_run_if_it_were_let() -> None:
    assert len(set(PAYLOADS)) >= 50
    assert all("hacked" in payload for payload in PAYLOADS)


def test_the_test_itself_sees_a_script_that_runs(page: Page, servers: Servers) -> None:
    page.goto(f"{servers.dashboard.url}/predictions")
    settled(page)
    page.evaluate("() => { document.body.innerHTML += '<img src=x onerror=hacked()>' }")
    page.wait_for_function("() => window.ran.length > 0")


def test_the_test_itself_sees_a_link_to_another_host(page: Page, servers: Servers) -> None:
    page.goto(f"{servers.dashboard.url}/predictions")
    settled(page)
    page.evaluate("() => { document.body.innerHTML += '<svg><a xlink:href=https://x.example>' }")
    with pytest.raises(AssertionError, match=r"x\.example"):
        nothing_ran(page, "")


@pytest.mark.parametrize("path", PATHS)
def test_what_an_address_says_never_runs(page: Page, servers: Servers, path: str) -> None:
    starts = range(len(PAYLOADS)) if ALL else [PATHS.index(path) * 9]
    for start in starts:
        words = (PAYLOADS[start:] + PAYLOADS[:start])[: len(PARAMETERS)]
        query = urlencode(dict(zip(PARAMETERS, words, strict=True)))
        page.goto(f"{servers.dashboard.url}/{path}?{query}#{words[0]}")
        nothing_ran(page, f"/{path} from payload {start}")


def test_an_address_that_is_a_script_never_runs(page: Page, servers: Servers) -> None:
    for payload in share(PAYLOADS):
        asked = payload.replace("/", "%2f").replace("#", "%23")
        answer = page.goto(f"{servers.dashboard.url}/{asked}")
        assert answer is not None
        nothing_ran(page, payload, is_page=answer.status == 200)


def test_what_is_typed_never_runs(page: Page, servers: Servers) -> None:
    for payload in share(PAYLOADS):
        page.goto(f"{servers.dashboard.url}/explanations")  # the drawer of the one before is closed
        page.get_by_role("textbox", name="Prediction ID").fill(payload)
        page.get_by_role("button", name="Explain", exact=True).click()
        nothing_ran(page, payload)


@pytest.mark.parametrize("path", PATHS)
def test_what_is_stored_never_runs(page: Page, spoiled_house: Servers, path: str) -> None:
    page.goto(f"{spoiled_house.dashboard.url}/{path}")
    nothing_ran(page, path)


def test_a_row_whose_model_has_a_script_for_a_name_never_runs(
    page: Page, spoiled_house: Servers
) -> None:
    engine = create_engine(spoiled_house.database_url)
    with closing(engine.connect()) as connection:
        ids = connection.execute(
            text("SELECT id FROM predictions WHERE model_version LIKE '%hacked%'")
        ).scalars().all()  # fmt: skip
    engine.dispose()
    assert ids
    for wanted in share(list(ids)):
        for path in ("predictions", "explanations"):
            page.goto(f"{spoiled_house.dashboard.url}/{path}?id={wanted}")
            nothing_ran(page, f"{path} {wanted}")
