"""Prometheus counters; exact across workers when PROMETHEUS_MULTIPROC_DIR is set before import."""

from __future__ import annotations

import os
from functools import cache

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
    multiprocess,
)

from db.schema import SOURCES

CONTENT_TYPE = CONTENT_TYPE_LATEST

PREDICTIONS = Counter("predictions_total", "Answered predictions.", ["source", "prediction"])
LATENCY = Histogram(
    "prediction_latency_seconds",
    "Seconds from the last byte of a predict request to its reply, its row committed.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)
REFUSALS = Counter("refusals_total", "Rejected requests.", ["route", "status"])

_BY_SOURCE = {
    source: (PREDICTIONS.labels(source, "0"), PREDICTIONS.labels(source, "1")) for source in SOURCES
}


def count_predictions(source: str, answered: int, positive: int) -> None:
    """Count answered predictions, `positive` of which are 1."""
    zero, one = _BY_SOURCE[source]
    if positive:
        one.inc(positive)
    if answered > positive:
        zero.inc(answered - positive)


@cache  # routes and statuses are few
def rejection_counter(route: str, status: int) -> Counter:
    """Return the counter of rejected requests of one route with one status."""
    return REFUSALS.labels(route, str(status))


def render() -> bytes:
    """Return the text exposition, summed over all workers."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
