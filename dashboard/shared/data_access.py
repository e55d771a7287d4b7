"""All input and output of the pages, cached: the log (read only), the API, the settings.

What is cached is short-lived, so that a page shows the present and a hundred viewers cost what one
costs. `DatabaseUnavailable` (from `db`) and the exceptions of `client` pass through to the pages.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import streamlit as st

from dashboard.shared.api_client import ApiDown, Client, LogBusy, Missing, NotLetIn, Refused
from db.export import csv_lines, jsonl_lines
from db.reader.queries import Bucket, Reader, Summary
from pipeline.dataset.heart.codings import Coding, encode_row
from pipeline.load_tests import autoscaling as scaling
from pipeline.load_tests.benchmark import KIND, Benchmark, UnreadableBenchmark, from_dict
from settings import load_settings

DOWNLOAD_MAX = 100_000
"""Rows of one download, about 30 MB in memory; `python -m db.export` streams any number."""

PAGE_ROWS = 20

PASSES = 60
"""Monitoring passes that are shown, two months of days."""

_FRESH_S = 5.0
"""Seconds for which what was read from the log is shown again."""


@dataclass(frozen=True)
class Window:
    """A period that ends now; charts show it in steps of `width_s` seconds."""

    label: str
    words: str
    length: timedelta
    width_s: int


Stretch = tuple[datetime, datetime]
"""From, and before; with their zones."""

WINDOWS = {
    "1h": Window("Hour", "in the last hour", timedelta(hours=1), 60),
    "24h": Window("24 hours", "in the last 24 hours", timedelta(hours=24), 1800),
    "7d": Window("7 days", "in the last 7 days", timedelta(days=7), 4 * 3600),
    "30d": Window("30 days", "in the last 30 days", timedelta(days=30), 24 * 3600),
    "1y": Window("Year", "in the last year", timedelta(days=365), 7 * 24 * 3600),
}


@dataclass(frozen=True)
class Overview:
    """What the Overview shows."""

    source: str
    summary: Summary
    buckets: list[Bucket]
    rejections: list[dict[str, Any]]
    newest: datetime


@st.cache_resource
def client() -> Client:
    """Return the one HTTP client of this process."""
    settings = load_settings()
    return Client(settings.api_url, settings.api_key.get_secret_value())


@st.cache_resource
def reader() -> Reader:
    """Return the one reader of the log of this process."""
    return Reader(load_settings().database_url)


@st.cache_data(ttl=_FRESH_S)
def sources() -> list[str]:
    """Return the sources that have rows."""
    return [name for name, count in reader().sources().items() if count]


def source() -> str | None:
    """Return the source that pages read: live, else the one that has rows; None = an empty log.

    `what-if` and `load-test` never count unless chosen.
    """
    return next((name for name in ("live", "synthetic", "replay") if name in sources()), None)


@st.cache_data(ttl=_FRESH_S, max_entries=50)
def overview(window: str, chosen: str) -> Overview:
    """Read what the Overview shows of a window (a key of `WINDOWS`) of a source that has rows."""
    shown = WINDOWS[window]
    # Steps begin at round times, so that a bar does not change its meaning while one looks at it.
    until = _step_after(datetime.now(UTC), shown.width_s)
    since = until - shown.length
    newest, _ = reader().page(source=chosen, limit=1)
    return Overview(
        source=chosen,
        summary=reader().summary(since=since, until=until, source=chosen),
        buckets=reader().buckets(since=since, until=until, source=chosen, width_s=shown.width_s),
        rejections=[
            row
            for row in reader().rejections(since=since, limit=200)
            if row["source"] == chosen or row["source"] not in ("what-if", "load-test")
        ],
        newest=newest[0]["received_at"],
    )


@st.cache_data(ttl=_FRESH_S)
def passes(chosen: str) -> list[dict[str, Any]]:
    """Return the monitoring passes of a source, newest window first."""
    return reader().passes(source=chosen, limit=PASSES)


def _step_after(moment: datetime, width_s: int) -> datetime:
    return datetime.fromtimestamp((moment.timestamp() // width_s + 1) * width_s, UTC)


@st.cache_data(ttl=_FRESH_S, max_entries=200)
def page(
    window: str | Stretch | None, chosen: str | None, positive: bool | None, cursor: str | None
) -> tuple[list[dict[str, Any]], str | None]:
    """Read one page of the log, newest first, and the cursor of the next."""
    since, until = _stretch(window)
    return reader().page(
        since=since, until=until, source=chosen, positive=positive, limit=PAGE_ROWS, cursor=cursor
    )


def _stretch(window: str | Stretch | None) -> tuple[datetime | None, datetime | None]:
    if window is None or not isinstance(window, str):
        return window or (None, None)
    return datetime.now(UTC) - WINDOWS[window].length, None


@st.cache_data(ttl=_FRESH_S, max_entries=200)
def prediction(prediction_id: str) -> dict[str, Any] | None:
    """Read one prediction in labels, with its newest outcome."""
    row = reader().get(prediction_id)
    return None if row is None else encode_row(row, Coding.LABELS)


def download(
    form: str, window: str | Stretch | None, chosen: str | None, positive: bool | None
) -> Callable[[], bytes]:
    """Return a function that writes the newest `DOWNLOAD_MAX` rows of a selection as csv or jsonl.

    It runs when the button is pressed, not when the page is drawn.
    """
    lines: Callable[[Iterable[dict[str, Any]], Coding], Iterator[str]] = (
        csv_lines if form == "csv" else jsonl_lines
    )
    (since, until), log = _stretch(window), reader()

    def write() -> bytes:
        rows = log.stream(since=since, until=until, source=chosen)
        wanted = (r for r in rows if positive is None or bool(r["prediction"]) is positive)
        text = "".join(lines(itertools.islice(wanted, DOWNLOAD_MAX), Coding.LABELS))
        return text.encode()

    return write


@st.cache_data(ttl=_FRESH_S)
def _ready() -> bool:
    return client().ready()


def ready() -> bool:
    """Say whether the API would answer a prediction now; a no is never kept for the next look."""
    answer = _ready()
    if not answer:
        _ready.clear()
    return answer


@st.cache_data(ttl=_FRESH_S, max_entries=1)
def load_tests() -> tuple[list[tuple[datetime, Benchmark]], int]:
    """Return the newest runs of `perf.bench`, newest first, and how many could not be read."""
    kept = [row for row in reader().load_tests(limit=100) if row["kind"] == KIND]
    runs = []
    for row in kept:
        with suppress(UnreadableBenchmark):
            runs.append((row["recorded_at"], from_dict(row["summary"])))
    return runs, len(kept) - len(runs)


@st.cache_data(ttl=_FRESH_S, max_entries=1)
def autoscaling() -> tuple[datetime, scaling.Autoscaling] | None:
    """Return the newest record of an autoscaler that can be read, and when it was kept."""
    for row in reader().load_tests(limit=100):
        if row["kind"] == scaling.KIND:
            with suppress(scaling.UnreadableRecord):
                return row["recorded_at"], scaling.from_dict(row["summary"])
    return None


@st.cache_data(ttl=60, max_entries=1)
def _model() -> dict[str, Any]:
    return client().model()


@st.cache_data(ttl=_FRESH_S, max_entries=1)
def _asked() -> tuple[dict[str, Any] | None, bool]:
    """Return the model card, and whether the API lets this dashboard in.

    A failure is kept, too: a page needs the card several times, and must not wait for an API that
    hangs each time.
    """
    try:
        return _model(), True
    except NotLetIn:
        return None, False
    except (ApiDown, LogBusy, Missing, Refused):
        return None, True


def model() -> dict[str, Any] | None:
    """Return the model card of the model in use; None while the API does not give it."""
    return _asked()[0]


def lets_in() -> bool:
    """Say whether the API knows this dashboard's key; `ready` needs none, so it cannot tell."""
    return _asked()[1]


@st.cache_data(ttl=3600, max_entries=500, show_spinner=False)
def explanation(prediction_id: str) -> dict[str, Any]:
    """Return why a prediction came out as it did; it never changes."""
    return client().explanation(prediction_id)


def forget() -> None:
    """Drop what was read, so that the next look sees what was just written."""
    page.clear()
    prediction.clear()
