"""The results of the Drift page -> Plotly figures, one function each.

Grey = the reference, blue = the window; orange = drift, never the only sign of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from math import floor, log10
from typing import Any

import numpy as np
import plotly.graph_objects as go

from dashboard.pages.drift import texts
from dashboard.pages.drift.data import Array, MonitoringDay
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
from dashboard.shared.numbers import p_value
from pipeline.drift.domain_classifier import Importance
from pipeline.drift.result import DriftResult, FeatureDrift
from pipeline.schema import BY_NAME, NAMES, Feature

_DAY = timedelta(days=1)
_MIN_P = 1e-6
"""Smaller p-values are drawn as this one: nobody acts differently on them."""
_BINS = 24
_RISK_BINS = 20
_STEPS = 6
_RIGHT = 24

Counts = Mapping[float | None, int]


def ranked_features(result: DriftResult) -> list[FeatureDrift]:
    """Return the features, the smallest p-value first."""
    return sorted(result.features.values(), key=lambda f: f.sort_key)


def significance_bars(result: DriftResult) -> go.Figure:
    """Draw the adjusted p-value of each feature, the smallest on top, with its effect size."""
    found = ranked_features(result)
    evidence = [-log10(max(f.p_adjusted, _MIN_P)) for f in found]
    bars = go.Bar(
        x=evidence,
        y=[texts.wrapped_label(f.name) for f in found],
        orientation="h",
        marker_color=[ORANGE if f.drift else BLUE for f in found],
        text=[f"  {texts.effect(f)}{' · drift' if f.drift else ''}" for f in found],
        textposition="outside",
        cliponaxis=False,
        customdata=[(f.name, p_value(f.p_adjusted), f.reason) for f in found],
        hovertemplate="%{y}: %{customdata[1]}<br>%{customdata[2]}<extra></extra>",
    )
    ticks = (1.0, 0.1, 0.01, 0.001, 1e-4, 1e-5, 1e-6)
    reach = max([2.2, *evidence])
    figure = apply_layout(go.Figure(bars), right=_RIGHT, bargap=0.3)
    limit = -log10(result.alpha)
    figure.add_vline(x=limit, line={"color": GREY, "dash": "dash", "width": 1})
    figure.update_xaxes(
        range=[0, 1.35 * reach],
        tickvals=[-log10(tick) for tick in ticks if -log10(tick) <= 1.35 * reach],
        ticktext=[f"{tick:g}" if tick >= 1e-3 else f"{tick:.0e}" for tick in ticks],
        title=f"adjusted p-value (dashed: {result.alpha:g})",
    )
    return figure.update_yaxes(autorange="reversed", automargin=True, showgrid=False)


def distribution(feature: Feature, reference: Counts, current: Counts) -> go.Figure:
    """Draw the shares of a feature's values in reference and window; missing values are a bar."""
    labels, before, now = shares(feature, reference, current)
    figure = go.Figure(
        [
            go.Bar(name="Reference", x=labels, y=before, marker_color=GREY),
            go.Bar(name="Window", x=labels, y=now, marker_color=BLUE),
        ]
    )
    figure.update_traces(hovertemplate="%{x}: %{y:.1%}")
    apply_layout(figure, right=_RIGHT, barmode="group", bargap=0.15, hovermode="x unified")
    figure.update_xaxes(type="category", title=feature.unit or None, showgrid=False)
    return figure.update_yaxes(tickformat=".0%", rangemode="tozero", title="share of patients")


def shares(
    feature: Feature, reference: Counts, current: Counts
) -> tuple[list[str], list[float], list[float]]:
    """Return the labels of the bars and the share of patients in each, reference and window."""
    known = sorted({v for side in (reference, current) for v in side if v is not None})
    if feature.is_numeric and len(known) > _BINS:
        width = _width(feature, known[-1] - known[0])
        start = floor(known[0] / width) * width
        where = {value: floor((value - start) / width + 1e-9) for value in known}
        count = max(where.values()) + 1
        labels = [_between(start + i * width, width, feature) for i in range(count)]
    else:
        where = {value: i for i, value in enumerate(known)}
        labels = [
            feature.code_labels.get(int(value), "?") if feature.codes else f"{value:g}"
            for value in known
        ]
    sides = []
    for side in (reference, current):
        bars, total = [0.0] * (len(labels) + 1), sum(side.values()) or 1
        for value, n in side.items():
            bars[len(labels) if value is None else where[value]] += n / total
        sides.append(bars)
    keep = len(labels) + any(side[-1] for side in sides)
    return [*labels, "missing"][:keep], sides[0][:keep], sides[1][:keep]


def _width(feature: Feature, reach: float) -> float:
    """Return a round bin width; about `_BINS` of them cover the range."""
    rough = reach / _BINS
    power = 10.0 ** floor(log10(rough))
    nice = next(power * step for step in (1, 2, 5, 10) if power * step >= rough)
    return float(max(nice, feature.step))


def _between(low: float, width: float, feature: Feature) -> str:
    return f"{low:g}–{low + width - feature.step:g}" if width > feature.step else f"{low:g}"


def risk_distribution(reference: Array, current: Array) -> go.Figure:
    """Draw the distribution of the estimated risk in reference and window."""
    edges = np.linspace(0, 1, _RISK_BINS + 1)
    middles = (edges[:-1] + edges[1:]) / 2
    figure = go.Figure()
    for name, values, shade, dash in (
        ("Reference", reference, GREY, "dash"), ("Window", current, BLUE, "solid")
    ):  # fmt: skip
        counts, hover = np.histogram(values, edges)[0] / max(1, len(values)), "%{y:.1%} of patients"
        add_line(figure, name, list(middles), list(counts), shade, hover, dash=dash, shape="hvh")
    apply_layout(figure, right=_RIGHT, hovermode="x unified")
    figure.update_xaxes(tickformat=".0%", range=[0, 1], title="estimated risk", showgrid=False)
    return figure.update_yaxes(tickformat=".0%", rangemode="tozero", title="share of patients")


def risk_steps(shares: Array) -> list[tuple[str, float]]:
    """Return the largest steps between two mean risks with their labels; the rest as one."""
    order = np.argsort(-np.abs(shares), kind="stable")
    largest, rest = order[:_STEPS], order[_STEPS:]
    steps = [(texts.label(NAMES[i]), float(shares[i])) for i in largest]
    return [*steps, ("Other findings", float(shares[rest].sum()))]


def risk_waterfall(before: float, now: float, steps: Sequence[tuple[str, float]]) -> go.Figure:
    """Draw the way from one mean risk to the other, a bar for each step."""
    names, moved = zip(*steps, strict=True)
    figure = go.Figure(
        go.Waterfall(
            orientation="h",
            y=["Reference", *names, "Window"],
            x=[before, *moved, now],
            measure=["absolute", *["relative"] * len(steps), "total"],
            text=[f"{before:.1%}", *(f"{100 * step:+.1f}" for step in moved), f"{now:.1%}"],
            textposition="outside",
            increasing_marker_color=ORANGE,
            decreasing_marker_color=BLUE,
            totals_marker_color=GREY,
            connector_line_color=GREY,
            hovertemplate="%{y}: %{text}<extra></extra>",
            cliponaxis=False,
        )
    )
    apply_layout(figure, right=48)
    figure.update_xaxes(tickformat=".0%", title="mean estimated risk")
    return figure.update_yaxes(autorange="reversed", automargin=True, showgrid=False)


def monitoring_timeline(
    days: Sequence[MonitoringDay], zone: tzinfo, changes: Sequence[Mapping[str, Any]] = ()
) -> go.Figure:
    """Draw the daily verdicts, and which findings drifted on which day.

    `changes` are the simulated changes of replayed patients: since, until and title.
    """
    figure = go.Figure()
    times = [local_time(day.since, zone) for day in days]
    whole = "Multivariate"
    named = {name for day in days for name in day.named}
    rows = [texts.wrapped_label(name) for name in NAMES if name in named]
    points: list[tuple[datetime, str, float]] = []
    for at, day in zip(times, days, strict=True):
        names = [(texts.wrapped_label(n), day.effects[n]) for n in day.named] if day.drift else []
        for row, far in names or ([(whole, 0.2)] if day.drift else []):
            points.append((at, row, 7 + 14 * min(1.0, far)))
    quiet = [at for at, day in zip(times, days, strict=True) if day.enough and not day.drift]
    unsure = [at for at, day in zip(times, days, strict=True) if not day.enough]
    alarms = [at for at, day in zip(times, days, strict=True) if day.drift]
    for label, when, symbol, shade in (
        ("No drift detected", quiet, "line-ns-open", GREY),
        ("Inconclusive, too few data", unsure, "x-thin-open", GREY),
        ("Alarm", alarms, "diamond", ORANGE),
    ):
        figure.add_scatter(
            name=label, x=when, y=["Daily verdict"] * len(when), mode="markers",
            marker={"symbol": symbol, "size": 10, "color": shade}, hovertemplate=f"%{{x}}: {label}",
        )  # fmt: skip
    where = [row for _, row, _ in points]
    figure.add_scatter(
        name="Drifted finding", x=[at for at, _, _ in points], y=where, mode="markers",
        marker={"size": [size for *_, size in points], "color": ORANGE, "opacity": 0.7},
        hovertemplate="%{x}: %{y}",
    )  # fmt: skip
    order = ["Daily verdict", *rows, *([whole] if whole in where else [])]
    apply_layout(figure, right=_RIGHT)
    figure.update_yaxes(
        type="category", categoryorder="array", categoryarray=order[::-1], automargin=True,
        range=[-0.6 - 0.45 * len(changes), len(order) - 0.4],  # room for the simulated changes
    )  # fmt: skip
    for line, change in enumerate(changes):
        since, until = (
            local_time(datetime.fromisoformat(change[key]), zone) for key in ("since", "until")
        )
        figure.add_vrect(
            x0=since, x1=until, fillcolor=GREY, opacity=0.12, line_width=0, layer="below",
            # A line lower each, so that they stay apart where the bands are narrow.
            annotation={
                "text": escape_plotly(change["title"]), "font": {"size": 12}, "yanchor": "bottom",
                "yshift": 14 * (len(changes) - 1 - line),
            },
            annotation_position="bottom left",
        )  # fmt: skip
    figure.update_xaxes(**DATE_AXIS)
    if times:
        figure.update_xaxes(range=[min(times) - _DAY, max(times) + 2 * _DAY])
    return figure


def risk_over_time(days: Sequence[MonitoringDay], zone: tzinfo) -> go.Figure:
    """Draw the mean estimated risk of the 7 days that end with each day."""
    figure, x, y = go.Figure(), [local_time(d.until, zone) for d in days], [d.risk for d in days]
    hover = "%{y:.0%} in the 7 days before<extra></extra>"
    add_line(figure, "", x, y, BLUE, hover, "lines+markers")
    apply_layout(figure, right=_RIGHT, showlegend=False)
    figure.update_xaxes(**DATE_AXIS)
    return figure.update_yaxes(tickformat=".0%", rangemode="tozero")


def timeline_height(days: Sequence[MonitoringDay]) -> int:
    """Return the height in pixels that `monitoring_timeline` needs."""
    return 190 + 32 * (1 + len({name for day in days for name in day.named}))


def roc_curve(points: Sequence[Sequence[float]]) -> go.Figure:
    """Draw the cross-validated ROC curve; the diagonal is chance."""
    figure = go.Figure()
    hover = "true positive rate %{y:.0%}, false positive rate %{x:.0%}<extra></extra>"
    add_line(figure, "Chance (AUC 0.5)", [0, 1], [0, 1], GREY, hover, dash="dash")
    add_line(figure, "Classifier", [p[0] for p in points], [p[1] for p in points], BLUE, hover)
    apply_layout(figure, right=_RIGHT)
    figure.update_xaxes(range=[0, 1], tickformat=".0%", title="false positive rate")
    return figure.update_yaxes(range=[0, 1.02], tickformat=".0%", title="true positive rate")


def permutation_importance(found: Sequence[Importance]) -> go.Figure:
    """Draw the drop in AUC when a feature is permuted (permutation importance)."""
    bars = go.Bar(
        x=[max(0.0, one.auc_lost) for one in found],
        y=[BY_NAME[one.feature].label for one in found],
        orientation="h",
        marker_color=BLUE,
        hovertemplate="%{y}: AUC drops by %{x:.3f}<extra></extra>",
    )
    figure = apply_layout(go.Figure(bars), right=_RIGHT, bargap=0.3)
    figure.update_xaxes(title="drop in AUC when permuted", rangemode="tozero")
    return figure.update_yaxes(autorange="reversed", automargin=True, showgrid=False)
