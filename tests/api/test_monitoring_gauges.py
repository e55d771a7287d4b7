from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from api import monitoring_gauges
from api.app import create_app
from api.monitoring_gauges import MonitoringGauges
from db.engine import DatabaseUnavailable
from db.reader.queries import Reader
from db.writer.results import MonitoringRun, add_monitoring_run
from settings import Settings

DAY = datetime(2026, 11, 23, tzinfo=UTC)
GAP = {"group": "male", "against": "female", "p_value": 0.01}
REPORT: dict[str, Any] = {
    "format": 1,
    "source": "live",
    "until": (DAY + timedelta(days=1)).isoformat(),
    "n": 60,
    "status": "amber",
    "drift": {
        "week": {
            "drift": True,
            "p_value": 0.001,
            "features": {"chol": {"p_adjusted": 0.0005}, "age": {"p_adjusted": 1.0}},
        }
    },
    "fairness": {
        "rates": {"groupings": {"sex": {"gaps": [
            GAP | {"metric": "selection_rate", "difference": 0.25},
            GAP | {"metric": "recall", "difference": None},
        ]}}},
        "errors": {"groupings": {"sex": {"gaps": [
            GAP | {"metric": "selection_rate", "difference": 0.5},
            GAP | {"metric": "recall", "difference": -0.125},
        ]}}},
    },
    "accuracy": {"estimated": {"accuracy": 0.84}, "true": {"accuracy": None}},
}  # fmt: skip


def add(url: str, report: dict[str, Any], day: datetime = DAY) -> None:
    done = MonitoringRun("live", "v1", day, day + timedelta(days=1), report["status"], "Because.")
    assert add_monitoring_run(url, report, done, version=1)


def samples(text: str) -> dict[tuple[str, ...], float]:
    """Return name and label values -> value, without the names of the labels."""
    return {
        (sample.name, *(sample.labels[label] for label in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_latest_monitoring_run_is_shown_as_gauges(
    client: TestClient, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitoring_gauges, "CACHE_S", 0.0)
    before = samples(client.get("/metrics").text)
    assert before[("monitoring_readable",)] == 1
    assert not any(name.startswith("drift") for name, *_ in before)

    add(database_url, REPORT | {"status": "green"})
    add(database_url, REPORT, DAY + timedelta(days=1))
    found = samples(client.get("/metrics").text)

    assert found[("drift_feature_p_value", "chol", "live", "week")] == 0.0005
    assert found[("drift_detected", "live", "week")] == 1
    assert found[("drift_p_value", "live", "week")] == 0.001
    assert found[("monitoring_status", "live", "amber")] == 1
    assert found[("monitoring_status", "live", "green")] == 0
    assert found[("accuracy_estimated", "live")] == 0.84
    assert ("accuracy_true", "live") not in found
    gaps = {name: value for name, value in found.items() if name[0] == "fairness_gap"}
    # Labels in the order of their names: against, group, grouping, metric, source.
    assert gaps == {
        ("fairness_gap", "female", "male", "sex", "selection_rate", "live"): 0.25,
        ("fairness_gap", "female", "male", "sex", "recall", "live"): -0.125,
    }
    assert 0 <= found[("monitoring_pass_age_seconds",)] < 60
    assert found[("monitoring_window_end_seconds", "live")] == (DAY + timedelta(1)).timestamp()


def test_a_report_that_is_not_understood_takes_nothing_else_away(
    sqlite_client: TestClient, tmp_path: Path
) -> None:
    add(f"sqlite:///{tmp_path}/log.db", {"format": 1, "status": "green"})
    reply = sqlite_client.get("/metrics")
    assert reply.status_code == 200
    assert "prediction_latency_seconds" in reply.text


def test_a_report_of_a_newer_program_shows_its_age_alone(
    sqlite_client: TestClient, tmp_path: Path
) -> None:
    add(f"sqlite:///{tmp_path}/log.db", {"format": 99, "status": "green"})
    found = samples(sqlite_client.get("/metrics").text)
    assert ("monitoring_pass_age_seconds",) in found
    assert not any(name.startswith("drift") for name, *_ in found)


def test_without_a_database_the_counters_are_shown(
    sqlite_url: str, tmp_path: Path, model_dir: Path
) -> None:
    app = create_app(Settings(database_url=sqlite_url, model_dir=model_dir))
    with TestClient(app, base_url="http://127.0.0.1") as client:
        (tmp_path / "log.db").unlink()
        found = client.get("/metrics")
    assert found.status_code == 200
    assert samples(found.text)[("monitoring_readable",)] == 0
    assert "prediction_latency_seconds" in found.text


class Silent:
    """A reader whose database does not answer."""

    asked = 0

    def monitoring_runs(self, *, limit: int) -> list[dict[str, Any]]:
        self.asked += 1
        raise DatabaseUnavailable("No answer.")


def test_a_silent_database_is_asked_once_for_several_scrapes() -> None:
    silent = Silent()
    shown = MonitoringGauges(silent)  # type: ignore[arg-type]
    for _ in range(3):
        assert samples(shown.render().decode())[("monitoring_readable",)] == 0
    assert silent.asked == 1


def test_a_fresh_read_is_shown_again_without_a_query(sqlite_url: str) -> None:
    reader = Reader(sqlite_url)
    shown = MonitoringGauges(reader)
    assert b"drift_detected" not in shown.render()
    add(sqlite_url, REPORT)
    assert b"drift_detected" not in shown.render()  # five seconds have not passed
    reader.close()
