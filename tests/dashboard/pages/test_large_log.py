"""The numbers of pages over a log that is too large to be read, beside those of SQL.

`LARGE_LOG=postgresql+psycopg://...` compares a log that `cardiowatch measure log-size` has filled,
with the limit as it is.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from sqlalchemy import func, select
from streamlit.testing.v1 import AppTest

from dashboard.pages.drift.data import make_window, read_sample
from dashboard.pages.overview.data import overview_data
from dashboard.shared import data_access
from dashboard.shared.numbers import format_share, milliseconds
from db.engine import open_engine, session
from db.ids import lowest_id_at
from db.reader import queries
from db.rollups import counts
from db.schema import outcomes, predictions
from perf.log_size import fill
from tests.dashboard.conftest import shown
from tests.dashboard.pages.test_overview import figures

C = predictions.c
LARGE = os.environ.get("LARGE_LOG")


@pytest.fixture(scope="module", params=[LARGE] if LARGE else ["sqlite", "postgres"])
def log_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A log of 30 days."""
    if LARGE:
        return LARGE
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('large')}/log.db"
    else:
        server = request.getfixturevalue("postgres_server")
        url = server.url(server.new_database())
    assert list(fill(url, 240))
    return url


@pytest.fixture(autouse=True)
def _limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lower the limits below the size of that log."""
    if not LARGE:
        monkeypatch.setattr(queries, "MAX_ROWS", 40)
        monkeypatch.setattr(data_access, "MAX_RECENT", 40)
        monkeypatch.setattr(counts, "SMALL_WINDOW", 20)


def ids(since: datetime, until: datetime) -> tuple[object, ...]:
    return C.id >= lowest_id_at(since), C.id < lowest_id_at(until), C.source == "live"


@pytest.mark.parametrize("period", ["24h", "7d", "30d", "1y"])
def test_the_overview_says_of_all_what_is_of_all_and_of_the_newest_what_is_of_them(
    pages: AppTest, log_url: str, period: str
) -> None:
    pages.query_params["period"] = data_access.WINDOWS[period].label
    pages.run()
    width = data_access.WINDOWS[period].bucket_s
    until = datetime.fromtimestamp((datetime.now(UTC).timestamp() // width + 1) * width, UTC)
    window = ids(until - data_access.WINDOWS[period].length, until)
    newest = select(C.latency_ms).where(*window).order_by(C.id.desc()).limit(queries.MAX_ROWS)
    with session(open_engine(log_url)) as connection:
        n, positive = connection.execute(
            select(func.count(), func.sum(C.prediction)).where(*window)
        ).one()
        latencies = connection.scalars(newest).all()
    of_newest = f" of the newest {queries.MAX_ROWS:,}" if n > queries.MAX_ROWS else ""
    p50, p95 = np.percentile(latencies, [50, 95]).tolist()
    found, details = figures(pages), {metric.label: metric.delta for metric in pages.metric}
    assert found["Predictions"] == f"{n:,}"
    assert re.search(rf"\b{n:,} live predictions", shown(pages))
    assert found["Positive"] == format_share(positive, n)
    assert details["Positive"] == f"{positive:,} of {n:,}"
    assert found["Scoring latency (p95)"] == milliseconds(p95)
    assert details["Scoring latency (p95)"] == f"median (p50) {milliseconds(p50)}{of_newest}"
    assert details["Model"] == f"only version{of_newest or ' in this window'}"
    steps = overview_data(period, "live").buckets
    assert sum(step.n for step in steps) == n
    assert sum(step.n_positive for step in steps) == positive


def test_the_counts_of_drift_and_the_newest_predictions_are_those_of_sql(
    pages: AppTest, log_url: str
) -> None:
    window = make_window("30d", "live", None, None)
    sample = read_sample(window)
    newest = data_access.recent_predictions("live", data_access.MAX_RECENT)
    known = select(func.count()).select_from(outcomes)
    with session(open_engine(log_url)) as connection:
        of_chest_pain = select(C.cp, func.count()).where(*ids(window.since, window.until))
        expected = Counter(dict(map(tuple, connection.execute(of_chest_pain.group_by(C.cp)))))
        wanted = select(C.id).where(C.source == "live").order_by(C.id.desc())
        listed = connection.scalars(wanted.limit(len(newest))).all()
        assert connection.scalar(known) == 0
    assert (sample.n, sample.counts["cp"]) == (expected.total(), expected)
    assert len(sample.rows) <= 5_000
    assert len(newest) == data_access.MAX_RECENT
    assert [row["id"] for row in newest] == list(listed)
    assert timedelta(0) < datetime.now(UTC) - newest[0]["received_at"]
