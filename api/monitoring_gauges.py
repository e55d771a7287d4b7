"""Gauges of the latest monitoring run, read from the database when Prometheus scrapes.

Every worker reads the same report, so the gauges are the same whichever of them answers. A database
that is silent or gone costs a scrape its reader's timeout; the counters are always shown.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from threading import Lock
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily as Gauge
from prometheus_client.registry import Collector

from db.engine import DatabaseUnavailable
from db.reader.queries import Reader

logger = logging.getLogger("cardiowatch.api")

FORMAT = 1
"""Of the reports that can be read here."""
CACHE_S = 5.0
"""Between two reads of the database, however often Prometheus scrapes."""
STATUSES = ("green", "amber", "red")

Newest = tuple[datetime, Mapping[str, Any]]
"""When a monitoring run was recorded, and its report."""


class MonitoringGauges(Collector):
    """Collects the gauges of the latest monitoring run; `render` returns them as text.

    The reader's timeout should be well below the 10 s that Prometheus waits for a scrape.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._lock = Lock()
        self._read_at = -CACHE_S
        self._newest: Newest | None = None
        self._readable = 1.0
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def render(self) -> bytes:
        """Return the text exposition; an error here does not reach the caller."""
        try:
            self._refresh()
            return generate_latest(self._registry)
        except Exception:  # a report in another format; the counters matter more
            logger.warning("the latest monitoring report cannot be rendered", exc_info=True)
            return b""

    def collect(self) -> Iterator[Gauge]:
        """Yield the gauges of the latest monitoring run, if there is one."""
        yield Gauge(
            "monitoring_readable", "1 when the last read of the reports succeeded.", self._readable
        )
        if self._newest is None:
            return
        recorded_at, report = self._newest
        age = (datetime.now(UTC) - recorded_at).total_seconds()
        yield Gauge("monitoring_pass_age_seconds", "Seconds since the latest monitoring run.", age)
        if report.get("format") == FORMAT:
            yield from _gauges(report)

    def _refresh(self) -> None:
        """Read again when the last read is old; scrapes at once wait for one read."""
        with self._lock:
            if time.monotonic() - self._read_at < CACHE_S:
                return
            try:
                self._newest, self._readable = _newest(self._reader), 1.0
            except DatabaseUnavailable as cause:
                self._readable = 0.0
                logger.warning("the monitoring reports cannot be read: %s", cause)
            self._read_at = time.monotonic()


def _newest(reader: Reader) -> Newest | None:
    passes = reader.monitoring_runs(limit=1)
    if not passes:
        return None
    report = reader.report(passes[0]["id"]) or {}
    return passes[0]["recorded_at"], report


def _gauges(report: Mapping[str, Any]) -> Iterator[Gauge]:
    source = str(report["source"])
    until = datetime.fromisoformat(report["until"]).timestamp()
    yield _one("monitoring_window_end_seconds", "End of the window, since 1970.", source, until)
    yield _one("monitoring_predictions", "Predictions in the window.", source, report["n"])
    status = Gauge("monitoring_status", "1 for the status of the run.", labels=("source", "status"))
    for name in STATUSES:
        status.add_metric((source, name), float(report["status"] == name))
    yield status
    yield from _drift(source, report["drift"])
    yield _fairness(source, report["fairness"])
    accuracy = report["accuracy"]
    for name, words in (("estimated", "Estimated without outcomes"), ("true", "Measured")):
        found = accuracy[name]
        if found is not None and found["accuracy"] is not None:
            yield _one(f"accuracy_{name}", f"{words}, 0 to 1.", source, found["accuracy"])


def _one(name: str, words: str, source: str, value: float) -> Gauge:
    gauge = Gauge(name, words, labels=("source",))
    gauge.add_metric((source,), float(value))
    return gauge


def _drift(source: str, drift: Mapping[str, Any]) -> Iterator[Gauge]:
    flag = Gauge("drift_detected", "1 = input drift detected.", labels=("source", "window"))
    overall = Gauge("drift_p_value", "Multivariate drift p-value.", labels=("source", "window"))
    each = Gauge(
        "drift_feature_p_value",
        "Family-wise adjusted, by feature.",
        labels=("source", "window", "feature"),
    )
    for window, result in drift.items():
        flag.add_metric((source, window), float(result["drift"]))
        overall.add_metric((source, window), result["p_value"])
        for name, feature in result["features"].items():
            each.add_metric((source, window, name), feature["p_adjusted"])
    yield flag
    yield overall
    yield each


def _fairness(source: str, fairness: Mapping[str, Any]) -> Gauge:
    """Return the signed gaps: selection rates of all, error rates where outcomes are known."""
    labels = ("source", "grouping", "group", "against", "metric")
    gauge = Gauge("fairness_gap", "Rate of a group minus that of another, -1 to 1.", labels=labels)
    for part, of_outcomes in (("rates", False), ("errors", True)):
        for name, grouping in fairness[part]["groupings"].items():
            for gap in grouping["gaps"]:
                is_rate = gap["metric"] == "selection_rate"
                if gap["difference"] is not None and is_rate is not of_outcomes:
                    key = (source, name, gap["group"], gap["against"], gap["metric"])
                    gauge.add_metric(key, gap["difference"])
    return gauge
