"""What the Overview reads from the log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import streamlit as st

from dashboard.auth import login
from dashboard.pages.overview import texts
from dashboard.shared import data_access
from dashboard.shared.api_client import ApiError, AuthenticationFailed, RequestRejected
from db.reader.queries import TimeBucket, WindowStatistics
from pipeline.fairness.override_rates import override_rates as assess_overrides
from pipeline.fairness.result import Rate
from pipeline.schema import NAMES

MONTH = timedelta(days=30)
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
    summary, buckets = data_access.reader().history(
        since=since, until=until, source=chosen, width_s=shown.bucket_s
    )
    others = {"what-if", "load-test"} - {chosen}
    return OverviewData(
        source=chosen,
        summary=summary,
        buckets=buckets,
        rejections=data_access.reader().rejections(since=since, limit=10, without=others),
        newest=newest[0]["received_at"],
    )


@st.cache_data(ttl=data_access.CACHE_TTL_S)
def override_rates(window: str, chosen: str) -> list[tuple[str, str, Rate]]:
    """Return attribute, group and override rate of a window's predictions with a response."""
    since = datetime.now(UTC) - data_access.WINDOWS[window].length
    rows = data_access.reader().sample_with_responses(
        since=since, until=datetime.now(UTC), source=chosen
    )
    features = np.array([row.features for row in rows], dtype=float).reshape(len(rows), len(NAMES))
    overridden = np.array([row.decision == "override" for row in rows], dtype=bool)
    return list(assess_overrides(features, np.array([r.probability for r in rows]), overridden))


@st.cache_data(ttl=data_access.CACHE_TTL_S)
def monitoring_runs(chosen: str) -> list[dict[str, Any]]:
    """Return the monitoring runs of a source, newest window first."""
    return data_access.reader().monitoring_runs(source=chosen, limit=MAX_MONITORING_RUNS)


@st.cache_data(ttl=60, max_entries=20)
def report(id: str) -> dict[str, Any] | None:  # noqa: A002
    """Return the report of a monitoring run, which never changes."""
    return data_access.reader().report(id)


@st.cache_data(ttl=60, max_entries=5, show_spinner=False)
def outcomes(source: str) -> list[tuple[float, int]]:
    """Return estimated risk and outcome of a month's patients with an outcome."""
    until = datetime.now(UTC)
    known = data_access.reader().sample_with_outcomes(
        since=until - MONTH, until=until, source=source, known_before=until
    )
    return [(row.probability, int(row.outcome or 0)) for row in known]


@st.cache_data(ttl=data_access.CACHE_TTL_S)
def open_alert(chosen: str) -> dict[str, Any] | None:
    """Return the unresolved alert of a source, if there is one."""
    return data_access.reader().open_alert(chosen)


@st.cache_data(ttl=data_access.CACHE_TTL_S)
def undelivered_alerts() -> list[dict[str, Any]]:
    """Return the alert messages that no receiver has taken yet."""
    return data_access.reader().undelivered_alerts()


def acknowledge(alert_id: str, note: str) -> str | None:
    """Acknowledge an alert through the API; return None, or what went wrong."""
    try:
        data_access.client().acknowledge_alert(alert_id, login.user_name(), note)
    except AuthenticationFailed:
        return texts.KEY_CANNOT_OPERATE
    except RequestRejected as rejected:
        return " ".join(message for _, message in rejected.errors) or rejected.detail
    except ApiError:
        return texts.NOT_ACKNOWLEDGED
    open_alert.clear()
    return None


def _step_after(moment: datetime, width_s: int) -> datetime:
    return datetime.fromtimestamp((moment.timestamp() // width_s + 1) * width_s, UTC)
