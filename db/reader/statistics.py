"""Figures over a bounded number of predictions: counts and latencies, whole or in steps of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any

import numpy as np

from db.ids import milliseconds, time_of

BUCKETS_MAX = 5_000
"""More steps than a chart can draw."""


@dataclass(frozen=True)
class Summary:
    """A window's predictions in figures; latencies and times are None when there are none."""

    n: int
    n_positive: int
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    latency_p99_ms: float | None
    first_received_at: datetime | None
    last_received_at: datetime | None
    model_versions: tuple[str, ...]
    """Newest first."""
    truncated: bool
    """True when only the newest predictions of the window were read."""


@dataclass(frozen=True)
class Bucket:
    """One step of time, from `start` on; latencies are None when it is empty."""

    start: datetime
    n: int
    n_positive: int
    latency_p50_ms: float | None
    latency_p95_ms: float | None


def summary_of(rows: Sequence[tuple[Any, ...]], *, truncated: bool) -> Summary:
    """Summarise rows of (id, prediction, latency in ms, model version), newest first."""
    if not rows:
        return Summary(0, 0, None, None, None, None, None, (), truncated)
    ids, positive, latency, versions = zip(*rows, strict=True)
    p50, p95, p99 = np.percentile(latency, [50, 95, 99]).tolist()
    return Summary(
        n=len(rows),
        n_positive=sum(positive),
        latency_p50_ms=p50,
        latency_p95_ms=p95,
        latency_p99_ms=p99,
        first_received_at=time_of(ids[-1]),
        last_received_at=time_of(ids[0]),
        model_versions=tuple(dict.fromkeys(versions)),
        truncated=truncated,
    )


def steps(since: datetime, until: datetime, width_s: float) -> int:
    """Return into how many steps a window falls.

    Raises
    ------
    ValueError
        When the width is not positive or there would be more than `BUCKETS_MAX` steps.
    """
    if width_s <= 0:
        raise ValueError("the width of a step must be positive")
    count = max(0, ceil((until - since) / timedelta(seconds=width_s)))
    if count > BUCKETS_MAX:
        raise ValueError(f"the window has {count} steps; at most {BUCKETS_MAX} can be shown")
    return count


def buckets_of(
    rows: Sequence[tuple[Any, ...]],
    since: datetime,
    until: datetime,
    width_s: float,
    *,
    truncated: bool,
) -> list[Bucket]:
    """Summarise rows of (id, prediction, latency in ms), newest first, in steps of time."""
    width = timedelta(seconds=width_s)
    count = steps(since, until, width_s)
    start_ms = since.timestamp() * 1000
    times = np.array([milliseconds(row[0]) for row in reversed(rows)], dtype=float)
    positive = np.array([row[1] for row in reversed(rows)], dtype=int)
    latency = np.array([row[2] for row in reversed(rows)], dtype=float)
    edges = np.searchsorted(times, start_ms + 1000 * width_s * np.arange(count + 1))
    # Of the bucket in which a truncated reading began, and those before, the counts are unknown.
    first = int(np.searchsorted(edges, 0, side="right")) if truncated else 0
    return [
        _bucket(
            since + i * width, positive[edges[i] : edges[i + 1]], latency[edges[i] : edges[i + 1]]
        )
        for i in range(first, count)
    ]


def _bucket(start: datetime, positive: np.ndarray, latency: np.ndarray) -> Bucket:
    if not len(latency):
        return Bucket(start, 0, 0, None, None)
    p50, p95 = np.percentile(latency, [50, 95]).tolist()
    return Bucket(start, len(latency), int(positive.sum()), p50, p95)
