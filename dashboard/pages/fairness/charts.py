"""Fairness -> Plotly figures, one function each.

Blue and orange are the sides of zero, as everywhere; grey = inconclusive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from dashboard.shared.charts import (
    BLUE,
    COLORS,
    DASHES,
    GREY,
    ORANGE,
    add_interval,
    add_line,
    apply_layout,
)
from dashboard.shared.group_rates import LABELS, format_rate, format_verdict
from dashboard.shared.numbers import signed
from pipeline.fairness.result import Gap, Grouping, Verdict
from pipeline.fairness.threshold_tradeoff import THRESHOLDS

MAIN_METRICS = ("selection_rate", "recall", "fpr")
"""Of many groups only these are drawn; the table holds the others."""


def gaps_to_draw(grouping: Grouping) -> list[Gap]:
    """Return the gaps that the chart shows."""
    metrics = MAIN_METRICS if len(grouping.groups) > 2 else LABELS
    return [gap for gap in grouping.gaps if gap.difference is not None and gap.metric in metrics]


def gaps(shown: Sequence[Gap], *, name_groups: bool) -> go.Figure:
    """Draw signed gaps with their 95 % intervals around zero."""
    names = [f"{g.group} · " * name_groups + LABELS[g.metric] for g in shown]
    figure = go.Figure()
    for gap, name in zip(shown, names, strict=True):
        low, high = gap.interval or (0.0, 0.0)
        apart = gap.difference or 0.0
        said = f"{signed(apart, 3)}, {format_verdict(gap.verdict, gap.n_needed)}"
        color = GREY if gap.verdict is Verdict.INCONCLUSIVE else ORANGE if apart > 0 else BLUE
        add_interval(figure, name, (low, apart, high), color, f"{said}<extra></extra>")
    apply_layout(figure, top=44)
    figure.update_yaxes(autorange="reversed", categoryarray=names, ticksuffix="  ")
    return figure.update_xaxes(
        zeroline=True, zerolinewidth=2, zerolinecolor=GREY, tickformat="+.1~f"
    )


def rates_by_group(grouping: Grouping, metric: str) -> go.Figure:
    """Draw one rate of every group with its 95 % interval."""
    names = [group.name for group in grouping.groups]
    figure = go.Figure()
    for group, color in zip(grouping.groups, COLORS, strict=False):
        rate = group.rates[metric]
        if rate.value is None:
            continue
        low, high = rate.interval
        symbol = "circle" if rate.enough_data else "circle-open"
        hover = f"{format_rate(rate)}<extra>{group.name}</extra>"
        add_interval(figure, group.name, (low, rate.value, high), color, hover, symbol)
    apply_layout(figure)
    figure.update_yaxes(
        type="category", categoryorder="array", categoryarray=names[::-1], ticksuffix="  ",
        range=[-0.5, len(names) - 0.5],
    )  # fmt: skip
    return figure.update_xaxes(range=[-0.03, 1.03], tickvals=[0, 0.5, 1], tickformat=".0%")


def rate_by_threshold(
    curves: Mapping[str, Mapping[str, Sequence[float | None]]], metric: str, at: float
) -> go.Figure:
    """Draw how one rate of each group changes with the threshold."""
    figure = go.Figure()
    for i, (group, found) in enumerate(curves.items()):
        dash = DASHES[i % len(DASHES)]
        add_line(
            figure, group, THRESHOLDS, found[metric], COLORS[i], "%{y:.0%}", dash=dash, shape="hv"
        )
    figure.add_vline(x=at, line={"color": GREY, "dash": "dot", "width": 2})
    legend = {"orientation": "h", "x": 0, "y": -0.16, "yanchor": "top"}
    apply_layout(figure, hovermode="x unified", showlegend=True, legend=legend)
    figure.update_xaxes(tickformat=".0%")
    return figure.update_yaxes(range=[-0.03, 1.03], tickformat=".0%")
