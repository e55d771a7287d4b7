"""What the Overview reads from the log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import streamlit as st

from dashboard.shared import data_access
from db.reader.queries import TimeBucket, WindowStatistics

MAX_MONITORING_RUNS = 60
"""Two months of daily runs."""


@dataclass(frozen=True)
class OverviewData:
    """The data of one window and source."""

    source: str
    summary: WindowStatistics
    buckets: list[TimeBucket]
    rejections: list[dict[str, Any]]
    newest: datetime


@st.cache_data(ttl=data_access.CACHE_TTL_S, max_entries=50)
def overview_data(window: str, chosen: str) -> OverviewData:
    """Return the data of a window (a key of `WINDOWS`) and a source that has rows."""
    shown = data_access.WINDOWS[window]
    # Buckets start at round times, so that a bar does not change between two refreshes.
    until = _step_after(datetime.now(UTC), shown.bucket_s)
    since = until - shown.length
    newest, _ = data_access.reader().page(source=chosen, limit=1)
    return OverviewData(
        source=chosen,
        summary=data_access.reader().statistics(since=since, until=until, source=chosen),
        buckets=data_access.reader().buckets(
            since=since, until=until, source=chosen, width_s=shown.bucket_s
        ),
        rejections=[
            row
            for row in data_access.reader().rejections(since=since, limit=200)
            if row["source"] == chosen or row["source"] not in ("what-if", "load-test")
        ],
        newest=newest[0]["received_at"],
    )


@st.cache_data(ttl=data_access.CACHE_TTL_S)
def monitoring_runs(chosen: str) -> list[dict[str, Any]]:
    """Return the monitoring runs of a source, newest window first."""
    return data_access.reader().monitoring_runs(source=chosen, limit=MAX_MONITORING_RUNS)


def _step_after(moment: datetime, width_s: int) -> datetime:
    return datetime.fromtimestamp((moment.timestamp() // width_s + 1) * width_s, UTC)
