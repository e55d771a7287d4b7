"""The charts of the card -> Plotly figures, one function each."""

from __future__ import annotations

import plotly.graph_objects as go

from dashboard.pages.model_card import texts
from dashboard.pages.model_card.chart_data import CalibrationCurve, ChartData, IntervalChart
from dashboard.shared.charts import BLUE, COLORS, GREY, add_interval, apply_layout, error_bars
from dashboard.shared.numbers import percent

_SYMBOLS = ("circle", "diamond", "square", "triangle-up")


def draw(chart: ChartData) -> tuple[go.Figure, int]:
    """Return a figure and its height in pixels."""
    if isinstance(chart, CalibrationCurve):
        return _calibration(chart), 440
    return _intervals(chart), 90 + 38 * len(chart.rows)


def _calibration(chart: CalibrationCurve) -> go.Figure:
    figure = go.Figure()
    figure.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", hoverinfo="skip", showlegend=False,
        line={"color": GREY, "dash": "dot"},
    )  # fmt: skip
    for i, (name, curve) in enumerate(chart.curves.items()):
        figure.add_scatter(
            name=name,
            x=[point.predicted for point in curve],
            y=(observed := [point.observed for point in curve]),
            mode="markers",
            marker={"size": 11, "color": COLORS[i % len(COLORS)], "symbol": _SYMBOLS[i % 4]},
            error_y=error_bars(
                observed, [p.low for p in curve], [p.high for p in curve], thickness=2
            ),
            customdata=[
                f"predicted {percent(p.predicted)}, observed {percent(p.observed)} (n = {p.n})"
                for p in curve
            ],
            hovertemplate="%{customdata}<extra></extra>",
        )
    apply_layout(figure, showlegend=True)
    figure.update_yaxes(title=texts.OBSERVED, range=[-0.03, 1.03], tickformat=".0%")
    return figure.update_xaxes(title=texts.PREDICTED, range=[-0.03, 1.03], tickformat=".0%")


def _intervals(chart: IntervalChart) -> go.Figure:
    figure = go.Figure()
    for row in chart.rows:
        color = BLUE if row.is_conclusive else GREY
        hover = f"%{{x:.3f}} ({row.low:.3f} to {row.high:.3f})<extra></extra>"
        add_interval(figure, row.name, (row.low, row.value, row.high), color, hover)
    apply_layout(figure).update_yaxes(autorange="reversed", ticksuffix="  ")
    figure.update_xaxes(title=chart.axis)
    if chart.around_zero:
        figure.update_xaxes(zeroline=True, zerolinewidth=2, zerolinecolor=GREY, tickformat="+.1~f")
    return figure
