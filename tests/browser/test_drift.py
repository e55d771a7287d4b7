"""From an alarm on the Overview to the logged requests behind it, as an operator goes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from playwright.sync_api import Page, expect

from db.writer.results import MonitoringRun, add_monitoring_run
from pipeline.dataset.heart import HEART_CSV, read_patients
from pipeline.drift import compare
from pipeline.schema import NAMES
from tests.browser.conftest import Servers, settled
from tests.browser.test_pages import logged


def alarm(servers: Servers) -> str:
    """Keep a red pass over the last day, as `pipeline.monitor` does; return its verdict."""
    servers.predict(source="live")  # what pages read where there are any
    features = read_patients(HEART_CSV).features
    assert features is not None
    rows = features.to_numpy(dtype=float)
    changed = np.array(rows)
    changed[:, NAMES.index("chol")] += 60
    until = datetime.now(UTC) + timedelta(minutes=5)
    since, result = until - timedelta(days=1), compare(rows, changed).to_dict()
    verdict = "Input drift detected (1-day window): serum cholesterol."
    report: dict[str, Any] = {
        "source": "live", "since": since.isoformat(), "until": until.isoformat(),
        "n_week": 303, "verdict": verdict, "risk": {"week": 0.4},
        "drift": {"window": result, "week": result},
    }  # fmt: skip
    done = MonitoringRun("live", "v", since, until, "red", verdict)
    add_monitoring_run(servers.database_url, report, done, version=1)
    return verdict


def test_an_alarm_is_followed_from_the_overview_to_its_requests(
    page: Page, servers: Servers
) -> None:
    servers.predict(source="live")
    page.goto(f"{servers.dashboard.url}/drift?source=Live")  # read before the monitor's pass
    expect(page.get_by_role("heading", name="Monitoring history")).to_be_visible()
    settled(page)
    verdict = alarm(servers)
    page.goto(servers.dashboard.url)
    expect(page.get_by_role("heading", level=1)).to_contain_text(verdict)
    page.get_by_role("link", name="Drift →").click()
    expect(page).to_have_title("Drift · Cardiowatch")
    expect(page.get_by_role("heading", name="Monitoring history")).to_be_visible()
    settled(page)
    page.get_by_role("link", name="View the predictions in this window →").click()
    expect(page).to_have_title("Predictions · Cardiowatch")
    expect(page.get_by_text("Window: ")).to_be_visible()
    expect(page.get_by_test_id("stDataFrame")).to_be_visible()
    assert "source=Live" in page.url
    known = {str(row[name]) for row in logged(servers, limit=5) for name in ("chol", "trestbps")}
    assert not any(value in page.url for value in known), "no address holds a patient's value"
