"""Buckets of predictions -> Plotly figures over time, one function each.

Blue = below the threshold, orange = at or above it, as in `dashboard.shared.prediction.charts`. A
step without predictions is a gap, never a zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Any

import plotly.graph_objects as go

from dashboard.shared.charts import (
    BLUE,
    DATE_AXIS,
    GREY,
    ORANGE,
    add_line,
    apply_layout,
    local_time,
)
from dashboard.shared.escaping import escape_plotly
from db.reader.queries import TimeBucket

STATUS_COLORS = {"green": "#2e9e5b", "amber": ORANGE, "red": "#d64541"}
"""At least 3:1 on the background of either theme."""


def prediction_counts(buckets: Sequence[TimeBucket], zone: tzinfo) -> go.Figure:
    """Draw predictions over time, the positive ones on top of the others."""
    times = _times(buckets, zone)
    below = [bucket.n - bucket.n_positive for bucket in buckets]
    positive = [bucket.n_positive for bucket in buckets]
    bars = [
        go.Bar(name="Negative", x=times, y=below, marker_color=BLUE),
        go.Bar(name="Positive", x=times, y=positive, marker_color=ORANGE),
    ]
    figure = _over_time(bars, "%{y:,}")
    return figure.update_layout(barmode="stack", bargap=0.15).update_yaxes(rangemode="tozero")


def positive_rate(buckets: Sequence[TimeBucket], zone: tzinfo) -> go.Figure:
    """Draw the positive rate over time, 0 to 100 %."""
    times = _times(buckets, zone)
    shares = [bucket.n_positive / bucket.n if bucket.n else None for bucket in buckets]
    figure = _over_time([], "%{y:.0%}")
    add_line(figure, "Positive rate", times, shares, ORANGE, "%{y:.0%}", "lines+markers")
    return figure.update_yaxes(range=[-0.03, 1.03], tickformat=".0%")


def scoring_latency(buckets: Sequence[TimeBucket], zone: tzinfo) -> go.Figure:
    """Draw the scoring latency over time: median and p95."""
    times = _times(buckets, zone)
    figure, hover = _over_time([], ""), "%{y:.2f} ms"
    p50, p95 = [b.latency_p50_ms for b in buckets], [b.latency_p95_ms for b in buckets]
    add_line(figure, "Median (p50)", times, p50, BLUE, hover, "lines+markers")
    add_line(figure, "p95", times, p95, GREY, hover, "lines+markers")
    return figure.update_yaxes(rangemode="tozero", ticksuffix=" ms")


def monitoring_statuses(passes: Sequence[Mapping[str, Any]], zone: tzinfo) -> go.Figure:
    """Draw one bar per monitoring run; higher is worse, so that colour is not the only sign."""
    traces = []
    for height, (name, color) in enumerate(STATUS_COLORS.items(), 1):
        chosen = [found for found in passes if found["status"] == name]
        times = [local_time(found["since"], zone) for found in chosen]
        lengths = [(found["until"] - found["since"]).total_seconds() * 1000 for found in chosen]
        verdicts = [escape_plotly(found["verdict"]) for found in chosen]
        bar = go.Bar(
            name=name.capitalize(), x=times, y=[height] * len(chosen), marker_color=color,
            width=[0.8 * length for length in lengths], offset=0, customdata=verdicts,
        )  # fmt: skip
        traces.append(bar)
    figure = _over_time(traces, "%{customdata}")
    return figure.update_yaxes(
        range=[0, 3.2], tickvals=[1, 2, 3], ticktext=["green", "amber", "red"], showgrid=False
    )


def _times(buckets: Sequence[TimeBucket], zone: tzinfo) -> list[datetime]:
    """Return when the steps begin on the viewer's clock; Plotly draws a time without its zone."""
    return [local_time(bucket.start, zone) for bucket in buckets]


def _over_time(traces: list[go.Bar], shown: str) -> go.Figure:
    figure = go.Figure(traces)
    figure.update_traces(hovertemplate=shown)
    apply_layout(figure, hovermode="x unified", showlegend=True)
    return figure.update_xaxes(**DATE_AXIS)
