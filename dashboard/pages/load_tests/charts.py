"""Load tests -> Plotly figures, one function each.

Blue = this service, orange = the echo baseline, grey = the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from math import log10
from typing import NamedTuple

import plotly.graph_objects as go

from dashboard.pages.load_tests import texts
from dashboard.shared.charts import (
    BLUE,
    DASHES,
    DATE_AXIS,
    GREY,
    ORANGE,
    add_line,
    apply_layout,
    error_bars,
)
from dashboard.shared.escaping import escape_plotly
from dashboard.shared.numbers import milliseconds
from pipeline.load_tests.autoscaling import Autoscaling
from pipeline.load_tests.benchmark import ECHO, OUR_SERVICES, OpenLoop, Summary

_SHAPES = ("circle", "square", "diamond", "triangle-up", "x", "star")
_MS_TICKS = (0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000, 10_000)


Lines = Mapping[str, Sequence[float | None]]


class Point(NamedTuple):
    """One run of the history: its time and results at about 200 connections."""

    at: datetime
    ours: Summary
    echo: Summary | None


def color(service: str) -> str:
    """Return the colour of a service on this page."""
    return BLUE if service in OUR_SERVICES else ORANGE if service == ECHO else GREY


def chart_height(services: int) -> int:
    """Return the height in pixels of a chart with a row per service and one for the report."""
    return 70 + 44 * (services + 1)


def throughput(of: Sequence[Summary]) -> go.Figure:
    """Draw the throughput of each service, and what the study project reported."""
    low, high = texts.STUDY_PER_S
    names = [*(escape_plotly(s.service) for s in of), texts.STUDY_REPORT]
    speeds = [*(s.ok_per_s for s in of), high]
    bars = go.Bar(
        x=speeds,
        y=names,
        orientation="h",
        marker={
            "color": [*(color(s.service) for s in of), GREY],
            "pattern": {"shape": [*("" for _ in of), "/"]},
        },
        error_x=error_bars(
            speeds, [*(s.low for s in of), high], [*(s.high for s in of), high], color=GREY
        ),
        hovertemplate="%{y}: %{x:,.0f} requests/s<extra></extra>",
    )
    figure = _horizontal(go.Figure([bars])).update_layout(showlegend=False)
    # Values stand below the names: beside the bars a narrow window would cut them off.
    said = [*(_throughput_label(s) for s in of), f"{low:,} and {high:,}"]
    figure.update_yaxes(
        tickvals=names, ticktext=[f"{n}<br>{s}" for n, s in zip(names, said, strict=True)]
    )
    return figure.update_xaxes(rangemode="tozero", title="requests/s", tickformat=",")


def _throughput_label(s: Summary) -> str:
    if s.ok_ratio is None or s.service == ECHO:
        return f"{s.ok_per_s:,.0f}"
    return f"{s.ok_per_s:,.0f} · {s.ok_ratio:.2g} × echo"


def latency_percentiles(of: Sequence[Summary]) -> go.Figure:
    """Draw p50, p90 and p99 of each service."""
    rows = [
        (escape_plotly(s.service), color(s.service), (s.p50_ms, s.p90_ms, s.p99_ms)) for s in of
    ]
    study = (texts.STUDY_REPORT, GREY, (texts.STUDY_P50_MS, None, texts.STUDY_P99_MS))
    return _percentiles([*rows, study], ("p50", "p90", "p99"))


def open_loop_latency(results: Sequence[tuple[str, OpenLoop]]) -> go.Figure:
    """Draw p50, p99 and p99.9 of the open-loop test."""
    rows = [
        (
            f"{escape_plotly(name)}, {r.rate:,.0f} requests/s",
            color(name),
            (r.p50_ms, r.p99_ms, r.p999_ms),
        )
        for name, r in results
    ]
    return _percentiles(rows, ("p50", "p99", "p99.9"))


def _percentiles(
    rows: Sequence[tuple[str, str, tuple[float | None, ...]]], names: tuple[str, ...]
) -> go.Figure:
    """Draw one line per row through its percentiles in ms; 0 = nothing was answered."""
    figure = go.Figure()
    for label, shade, values in rows:
        marks = zip(names, values, _SHAPES[: len(names)], strict=True)
        known = [(name, value, shape) for name, value, shape in marks if value]
        figure.add_scatter(
            x=[value for _, value, _ in known],
            y=[label] * len(known),
            mode="lines+markers+text",
            line={"color": shade, "width": 3},
            marker={"color": shade, "size": 11, "symbol": [s for *_, s in known]},
            text=[*[""] * (len(known) - 1), *(milliseconds(v) for _, v, _ in known[-1:])],
            textposition="middle right",
            cliponaxis=False,
            customdata=[name for name, *_ in known],
            hovertemplate=f"{label}: %{{customdata}} %{{x:,.3g}} ms<extra></extra>",
            showlegend=False,
        )
    figure = _horizontal(figure).update_yaxes(
        type="category", categoryarray=[label for label, *_ in rows], range=[len(rows) - 0.5, -0.5]
    )
    top = max((v for _, _, values in rows for v in values if v), default=1.0)
    low = min((v for _, _, values in rows for v in values if v), default=0.1)
    return _log(figure.update_xaxes, low / 1.5, 5 * top).update_xaxes(title="ms")


def _log(update: Callable[..., go.Figure], low: float, high: float) -> go.Figure:
    ticks = [tick for tick in _MS_TICKS if low <= tick <= high]
    words = [f"{tick:,g}" for tick in ticks]
    span = [log10(low), log10(high)]
    return update(type="log", range=span, tickvals=ticks, ticktext=words, minor={"ticks": ""})


def by_concurrency(
    of: Sequence[Summary], value: Callable[[Summary], float], shown: str
) -> go.Figure:
    """Draw a measure of each service by number of connections, on a logarithmic scale."""
    figure, drawn = go.Figure(), Counter[str]()
    for service in dict.fromkeys(s.service for s in of):
        points = sorted((s for s in of if s.service == service), key=lambda s: s.connections)
        shade = color(service)
        variant = drawn[shade] + (shade == GREY)
        drawn[shade] += 1
        x, y = [f"{s.connections:,}" for s in points], [value(s) or None for s in points]
        add_line(
            figure, escape_plotly(service), x, y, shade, shown, "lines+markers",
            dash=DASHES[variant % len(DASHES)],
            marker={"size": 9, "symbol": _SHAPES[variant % len(_SHAPES)]},
        )  # fmt: skip
    legend = {"orientation": "h", "x": 0, "y": -0.25, "yanchor": "top"}
    apply_layout(figure, hovermode="x unified", legend=legend)
    figure.update_yaxes(type="log", dtick=1)
    return figure.update_xaxes(type="category", title="connections", showgrid=False)


def errors(of: Sequence[Summary]) -> go.Figure:
    """Draw timeouts, other failures and rejections of each service."""
    kinds: tuple[tuple[str, str, str, Callable[[Summary], int]], ...] = (
        ("Timeout", ORANGE, "", lambda s: s.timeouts),
        ("Other failure", ORANGE, "/", lambda s: s.failed - s.timeouts),
        ("Rejected (503 with Retry-After)", BLUE, "", lambda s: s.refused),
    )
    bars = [
        go.Bar(
            name=name,
            x=[count(s) for s in of],
            y=[escape_plotly(s.service) for s in of],
            orientation="h",
            marker={"color": shade, "pattern": {"shape": pattern}},
            hovertemplate="%{y}: %{x:,}",
        )
        for name, shade, pattern, count in kinds
        if any(count(s) for s in of)
    ]
    figure = _horizontal(go.Figure(bars)).update_xaxes(title="requests (all rounds)")
    return figure.update_layout(barmode="stack", showlegend=True)


def history(points: Sequence[Point], lines: Lines, shown: str) -> go.Figure:
    """Draw measures over runs; the times are on the viewer's clock."""
    figure = go.Figure()
    for name, values in lines.items():
        x, marker = [point.at.replace(tzinfo=None) for point in points], {"size": 9}
        symbol = {"symbol": "square" if name == ECHO else "circle"}
        add_line(
            figure, name, x, values, color(name), shown, "lines+markers", marker=marker | symbol
        )
    apply_layout(figure, hovermode="x unified", showlegend=len(lines) > 1)
    return figure.update_xaxes(**DATE_AXIS).update_yaxes(rangemode="tozero")


def pods(record: Autoscaling) -> go.Figure:
    """Draw the number of pods; between two moments it is that of the first."""
    figure = _over_minutes(record, [m.pods for m in record.moments], "hv", "%{y} pods")
    return figure.update_yaxes(range=[0, record.most + 0.5], dtick=1)


def cpu(record: Autoscaling) -> go.Figure:
    """Draw the CPU of all pods in percent of what they request, and the target."""
    figure = _over_minutes(record, [m.cpu for m in record.moments], "linear", "%{y} %")
    figure.add_hline(
        y=record.target, line={"color": ORANGE, "dash": "dash", "width": 2},
        annotation={"text": f"target {record.target} %", "font": {"color": ORANGE}},
    )  # fmt: skip
    return figure.update_yaxes(rangemode="tozero", ticksuffix=" %")


def _over_minutes(
    record: Autoscaling, values: Sequence[int | None], shape: str, shown: str
) -> go.Figure:
    figure, x = go.Figure(), [moment.at_s / 60 for moment in record.moments]
    hover = f"minute %{{x:.1f}}: {shown}<extra></extra>"
    add_line(figure, "", x, values, BLUE, hover, "lines+markers", shape=shape, marker={"size": 7})
    apply_layout(figure, showlegend=False)
    return figure.update_xaxes(title="minutes", showgrid=False, rangemode="tozero")


def _horizontal(figure: go.Figure) -> go.Figure:
    apply_layout(figure, right=24, bargap=0.35)
    return figure.update_yaxes(autorange="reversed", automargin=True, showgrid=False)
