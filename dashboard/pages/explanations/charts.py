"""Charts of global and local explanations (Plotly), training and logged side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dashboard.pages.explanations.data import Explanations, first
from dashboard.shared.charts import (
    BLUE,
    GREY,
    ORANGE,
    TEAL,
    VIOLET,
    add_line,
    apply_layout,
    error_bars,
)
from dashboard.shared.numbers import signed
from pipeline.model.global_explanation import FeatureEffect
from pipeline.schema import BY_NAME

_FILLS = ((BLUE, ""), (GREY, "/"))
"""Colour and pattern of the bars of training and of logged patients."""


def importance_bars(shown: Explanations) -> go.Figure:
    """Draw the mean absolute contribution of each finding, one bar for each set of patients."""
    order = first(shown).ranking
    labels = [BY_NAME[name].label for name in order]
    figure = go.Figure(
        [
            go.Bar(
                name=title,
                y=labels,
                x=[of.effects[name].mean_absolute_contribution for name in order],
                orientation="h",
                marker={"color": color, "pattern": {"shape": pattern}},
                hovertemplate="%{x:.2f}<extra>" + title + "</extra>",
            )
            for (title, of), (color, pattern) in zip(shown.items(), _FILLS, strict=False)
        ]
    )
    apply_layout(figure, barmode="group", bargap=0.3)
    figure.update_xaxes(title="mean absolute contribution (log-odds)", rangemode="tozero")
    return figure.update_yaxes(autorange="reversed", ticksuffix="  ")


def beeswarm(shown: Explanations) -> go.Figure:
    """Draw the contribution of every value, one panel for each set of patients."""
    order = first(shown).ranking
    figure = make_subplots(
        rows=1,
        cols=len(shown),
        shared_xaxes="all",
        shared_yaxes=True,
        subplot_titles=list(shown),
        horizontal_spacing=0.03,
    )
    for column, of in enumerate(shown.values(), 1):
        for name in order:
            figure.add_trace(_dots(of.effects[name], of.n), row=1, col=column)
    apply_layout(figure, top=28, showlegend=False)
    figure.update_xaxes(zeroline=True, zerolinewidth=2, zerolinecolor=GREY, title="log-odds")
    return figure.update_yaxes(
        categoryorder="array",
        categoryarray=[BY_NAME[name].label for name in order][::-1],
        ticksuffix="  ",
    )


def _dots(effect: FeatureEffect, n: int) -> go.Scatter:
    feature = BY_NAME[effect.feature]
    known = [value for value in effect.values if value is not None]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    shares = [
        -1.0 if value is None else (value - low) / (high - low or 1.0) for value in effect.values
    ]
    return go.Scatter(
        x=effect.contributions,
        y=[feature.label] * len(effect.values),
        mode="markers",
        marker={
            # Area = number of patients; the smallest dots stay visible.
            "size": [6 + 26 * (count / max(1, n)) ** 0.5 for count in effect.counts],
            "color": [GREY if share < 0 else _between(share) for share in shares],
            "opacity": 0.75,
            "line": {"width": 0},
        },
        text=[
            f"{feature.format_value(value)}: {signed(size)}, {count} patients"
            for value, size, count in zip(
                effect.values, effect.contributions, effect.counts, strict=True
            )
        ],
        hovertemplate="%{text}<extra></extra>",
    )


def _between(share: float) -> str:
    # Low and high values: not the colours of toward and away.
    low, high = (bytes.fromhex(color[1:]) for color in (TEAL, VIOLET))
    return "#" + "".join(
        f"{round(a + share * (b - a)):02x}" for a, b in zip(low, high, strict=True)
    )


def dependence(name: str, shown: Explanations) -> go.Figure:
    """Draw the contribution of each value of a finding, and the share of patients below."""
    feature = BY_NAME[name]
    figure = make_subplots(
        rows=2, cols=1, shared_xaxes=True, row_heights=[0.62, 0.38], vertical_spacing=0.06
    )
    union: dict[Any, float] = {}
    for of in shown.values():
        effect = of.effects[name]
        union |= dict(zip(effect.values, effect.contributions, strict=True))
    numbers = sorted(value for value in union if value is not None)
    values = [*numbers, *([None] if None in union else [])]
    x, y = [_place(name, value) for value in values], [union[value] for value in values]
    add_line(
        figure, "Contribution (log-odds)", x, y, GREY, "%{x}: %{y:+.2f}<extra></extra>",
        "lines+markers" if feature.is_numeric else "markers", showlegend=False, row=1, col=1,
        marker={"size": 9, "color": [ORANGE if size > 0 else BLUE for size in y]},
    )  # fmt: skip
    for (title, of), (color, pattern) in zip(shown.items(), _FILLS, strict=False):
        effect = of.effects[name]
        figure.add_bar(
            x=[_place(name, value) for value in effect.values],
            y=[count / max(1, of.n) for count in effect.counts],
            name=title,
            marker={"color": color, "pattern": {"shape": pattern}},
            hovertemplate="%{x}: %{y:.1%}<extra>" + title + "</extra>",
            row=2,
            col=1,
        )
    apply_layout(figure)
    figure.update_yaxes(title="log-odds", zeroline=True, zerolinecolor=GREY, row=1, col=1)
    figure.update_yaxes(title="patients", tickformat=".0%", row=2, col=1)
    _value_axis(figure, name, values)
    return figure.update_xaxes(title="", row=1, col=1)


def _place(name: str, value: float | None) -> str | float:
    feature = BY_NAME[name]
    if value is None or not feature.is_numeric:
        return feature.format_value(value)
    return value


def challenger_dependence(name: str, found: Mapping[str, Any], scale: str) -> go.Figure:
    """Draw the contribution of each value in a challenger: mean, minimum, maximum."""
    values = [None if key == "not known" else float(key) for key in found["values"]]
    means, lows, highs, _ = zip(*found["values"].values(), strict=True)
    figure = go.Figure(
        go.Scatter(
            x=[_place(name, value) for value in values], y=means, mode="markers",
            marker={"size": 8, "color": [ORANGE if mean > 0 else BLUE for mean in means]},
            error_y=error_bars(means, lows, highs, color=GREY, thickness=1),
            hovertemplate="%{x}: %{y:+.3f}<extra></extra>",
        )
    )  # fmt: skip
    apply_layout(figure).update_yaxes(title=scale, zeroline=True, zerolinecolor=GREY)
    return _value_axis(figure, name, values)


def _value_axis(figure: go.Figure, name: str, values: Sequence[float | None]) -> go.Figure:
    if not BY_NAME[name].is_numeric or None in values:
        labels = [_place(name, value) for value in values]
        figure.update_xaxes(type="category", categoryorder="array", categoryarray=labels)
    return figure.update_xaxes(title=BY_NAME[name].title)
