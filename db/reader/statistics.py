"""Statistics of a bounded number of predictions: counts and latencies, total or per bucket."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any

import numpy as np

from db.ids import timestamp_ms, timestamp_of

MAX_BUCKETS = 5_000
"""More than a chart can draw."""


@dataclass(frozen=True)
class WindowStatistics:
    """Statistics of a window; latencies and times are None without predictions.

    Truncated, all but `n` and `n_positive` are those of the newest predictions.
    """

    n: int
    n_positive: int
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    first_received_at: datetime | None
    model_versions: tuple[str, ...]
    """Newest first."""
    truncated: bool
    """True when only the newest predictions of the window were read one by one."""


@dataclass(frozen=True)
class TimeBucket:
    """Statistics of one bucket of time from `start`; latencies are None when none was read."""

    start: datetime
    n: int
    n_positive: int
    latency_p50_ms: float | None
    latency_p95_ms: float | None


def summarize(rows: Sequence[tuple[Any, ...]], *, truncated: bool) -> WindowStatistics:
    """Summarise rows of (id, prediction, latency in ms, model version), newest first."""
    if not rows:
        return WindowStatistics(0, 0, None, None, None, (), truncated)
    ids, positive, latency, versions = zip(*rows, strict=True)
    p50, p95 = np.percentile(latency, [50, 95]).tolist()
    return WindowStatistics(
        n=len(rows),
        n_positive=sum(positive),
        latency_p50_ms=p50,
        latency_p95_ms=p95,
        first_received_at=timestamp_of(ids[-1]),
        model_versions=tuple(dict.fromkeys(versions)),
        truncated=truncated,
    )


def bucket_count(since: datetime, until: datetime, width_s: float) -> int:
    """Return the number of buckets in a window.

    Raises
    ------
    ValueError
        When the width is not positive or there would be more than `MAX_BUCKETS` buckets.
    """
    if width_s <= 0:
        raise ValueError("the width of a bucket must be positive")
    count = max(0, ceil((until - since) / timedelta(seconds=width_s)))
    if count > MAX_BUCKETS:
        raise ValueError(f"the window has {count} buckets; at most {MAX_BUCKETS} can be shown")
    return count


def summarize_buckets(
    rows: Sequence[tuple[Any, ...]],
    since: datetime,
    until: datetime,
    width_s: float,
    *,
    truncated: bool,
) -> list[TimeBucket]:
    """Summarise rows of (id, prediction, latency in ms), newest first, per bucket of time."""
    width = timedelta(seconds=width_s)
    count = bucket_count(since, until, width_s)
    start_ms = since.timestamp() * 1000
    times = np.array([timestamp_ms(row[0]) for row in reversed(rows)], dtype=float)
    positive = np.array([row[1] for row in reversed(rows)], dtype=int)
    latency = np.array([row[2] for row in reversed(rows)], dtype=float)
    edges = np.searchsorted(times, start_ms + 1000 * width_s * np.arange(count + 1))
    # Truncated rows begin in the middle of a bucket: that one and those before are incomplete.
    first = int(np.searchsorted(edges, 0, side="right")) if truncated else 0
    return [
        _bucket(
            since + i * width, positive[edges[i] : edges[i + 1]], latency[edges[i] : edges[i + 1]]
        )
        for i in range(first, count)
    ]


def _bucket(start: datetime, positive: np.ndarray, latency: np.ndarray) -> TimeBucket:
    if not len(latency):
        return TimeBucket(start, 0, 0, None, None)
    p50, p95 = np.percentile(latency, [50, 95]).tolist()
    return TimeBucket(start, len(latency), int(positive.sum()), p50, p95)
