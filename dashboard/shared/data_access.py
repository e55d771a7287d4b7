"""Cached reads of the log and of the API, which several pages share.

The cache is short-lived: pages show current data, and a hundred viewers cost as much as one.
`DatabaseUnavailable` (from `db`) and `ApiError` are left to the pages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import streamlit as st

from dashboard.shared.api_client import ApiError, AuthenticationFailed, Client
from db.reader.queries import Reader
from pipeline.dataset.heart import Coding, encode_row
from settings import load_settings

ROWS_PER_PAGE = 20


CACHE_TTL_S = 5.0
"""Seconds for which reads are cached."""


@dataclass(frozen=True)
class Window:
    """A window that ends now, in buckets of `bucket_s` seconds."""

    label: str
    phrase: str
    length: timedelta
    bucket_s: int


TimeRange = tuple[datetime, datetime]
"""Start (inclusive) and end (exclusive), with time zones."""

WINDOWS = {
    "1h": Window("Hour", "in the last hour", timedelta(hours=1), 60),
    "24h": Window("24 hours", "in the last 24 hours", timedelta(hours=24), 1800),
    "7d": Window("7 days", "in the last 7 days", timedelta(days=7), 4 * 3600),
    "30d": Window("30 days", "in the last 30 days", timedelta(days=30), 24 * 3600),
    "1y": Window("Year", "in the last year", timedelta(days=365), 7 * 24 * 3600),
}


@st.cache_resource
def client() -> Client:
    """Return the HTTP client of this process."""
    settings = load_settings()
    return Client(settings.api_url, settings.api_key.get_secret_value())


@st.cache_resource
def reader() -> Reader:
    """Return the log reader of this process."""
    settings = load_settings()
    return Reader(settings.dashboard_database_url or settings.database_url)


@st.cache_data(ttl=CACHE_TTL_S)
def standby_time() -> datetime | None:
    """Return up to when the standby that pages read has the log; None = they read the primary."""
    return reader().standby_time() if load_settings().dashboard_database_url else None


@st.cache_data(ttl=CACHE_TTL_S)
def sources_with_rows() -> list[str]:
    """Return the sources that have rows."""
    return [name for name, count in reader().sources().items() if count]


def default_source() -> str | None:
    """Return the source that pages show first: live, else one with rows; None = an empty log.

    Never `what-if` or `load-test`.
    """
    return next(
        (name for name in ("live", "synthetic", "replay") if name in sources_with_rows()), None
    )


@st.cache_data(ttl=CACHE_TTL_S, max_entries=200)
def log_page(
    window: str | TimeRange | None, source: str | None, only: Mapping[str, Any], cursor: str | None
) -> tuple[list[dict[str, Any]], str | None]:
    """Return one page of the log, newest first, and the cursor of the next."""
    since, until = time_range(window)
    return reader().page(
        since=since, until=until, source=source, only=only, limit=ROWS_PER_PAGE, cursor=cursor
    )


def time_range(window: str | TimeRange | None) -> tuple[datetime | None, datetime | None]:
    """Return start and end of a key of `WINDOWS` or a time range; None = unlimited."""
    if window is None or not isinstance(window, str):
        return window or (None, None)
    return datetime.now(UTC) - WINDOWS[window].length, None


@st.cache_data(ttl=CACHE_TTL_S, max_entries=200)
def prediction(prediction_id: str) -> dict[str, Any] | None:
    """Return one prediction in labels, with its latest outcome."""
    row = reader().get(prediction_id)
    return None if row is None else encode_row(row, Coding.LABELS)


@st.cache_data(ttl=CACHE_TTL_S)
def _ready() -> bool:
    return client().ready()


def is_ready() -> bool:
    """Return whether the API is ready to predict; a negative result is not cached."""
    answer = _ready()
    if not answer:
        _ready.clear()
    return answer


@st.cache_data(ttl=60, max_entries=1)
def _model() -> dict[str, Any]:
    return client().model()


@st.cache_data(ttl=CACHE_TTL_S, max_entries=1)
def _model_card_and_key_status() -> tuple[dict[str, Any] | None, bool]:
    """Return the model card, and whether the API accepts the dashboard's key.

    Failures are cached, too: a page needs the card several times and must not wait each time for an
    API that hangs.
    """
    try:
        return _model(), True
    except AuthenticationFailed:
        return None, False
    except ApiError:
        return None, True


def model_card() -> dict[str, Any] | None:
    """Return the card of the current model; None = unavailable."""
    return _model_card_and_key_status()[0]


def is_key_accepted() -> bool:
    """Return whether the API accepts the dashboard's key; `is_ready` needs no key."""
    return _model_card_and_key_status()[1]


@st.cache_data(ttl=3600, max_entries=500, show_spinner=False)
def explanation(prediction_id: str) -> dict[str, Any]:
    """Return the explanation of a prediction, which never changes."""
    return client().explanation(prediction_id)


def clear_cache() -> None:
    """Clear cached predictions, so that the next read includes what was just written."""
    log_page.clear()
    prediction.clear()


MAX_RECENT = 1_000
"""What one query returns."""


@st.cache_data(ttl=CACHE_TTL_S, max_entries=20, show_spinner=False)
def recent_predictions(
    source: str | None, n: int = MAX_RECENT, only: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Return the most recent predictions of a source, or those that `Reader.page` takes as only."""
    return reader().page(source=source, limit=n, only=only or {})[0]
