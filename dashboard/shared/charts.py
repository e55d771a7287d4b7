"""What the charts of all pages share: colours, line styles, layout, the axis of dates.

Three ways to draw, each for a reason. What answers an entry is drawn by ECharts: 96 ms from input
to picture against Plotly's 156 (p50, measured on a prototype). All other charts are Plotly's, which
has panels, error bars, hover texts and an axis of times. The file of the model card is SVG of our
own: it holds no script, and Plotly writes SVG only with the help of a browser on the server; the
page cannot show that SVG, because Streamlit removes it from HTML.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the model card program draws without Plotly
    import plotly.graph_objects as go

Spec = dict[str, Any]
"""Options of an Apache ECharts chart."""

BLUE, ORANGE, GREY = "#3b7dd8", "#d8750f", "#7b8798"
"""At least 3:1 on the background of either theme; `.streamlit/config.toml` lists the same."""
TEAL, VIOLET = "#0f8f8f", "#9068cf"
COLORS = (BLUE, ORANGE, TEAL, VIOLET, "#a98000", GREY, "#c2487b", "#4f9d4f")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")

_DAY_MS = 24 * 3600 * 1000
DATE_AXIS: dict[str, Any] = {
    "type": "date",
    "showgrid": False,
    "hoverformat": "%-d %b %Y, %H:%M",
    "tickformatstops": [  # what stands behind the line break is drawn where it changes
        {"dtickrange": [None, _DAY_MS - 1], "value": "%H:%M\n%-d %b %Y"},
        {"dtickrange": [_DAY_MS, "M1"], "value": "%-d %b\n%Y"},
        {"dtickrange": ["M1", None], "value": "%b %Y"},
    ],
}
"""An axis of times, with dates as in the sentences; Plotly's own are American."""


def apply_layout(figure: go.Figure, *, top: int = 8, right: int = 8, **layout: Any) -> go.Figure:
    """Set narrow margins and a legend above the chart, and switch dragging off."""
    legend = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}
    margin = {"l": 8, "r": right, "t": top, "b": 8}
    return figure.update_layout(**{"margin": margin, "dragmode": False, "legend": legend} | layout)


def add_line(
    figure: go.Figure, name: str, x: Sequence[Any], y: Sequence[Any], color: str, hover: str,
    mode: str = "lines", *, dash: str = "solid", shape: str = "linear", **style: Any,
) -> None:  # fmt: skip
    """Add a line, by default without markers."""
    line = {"color": color, "width": 3, "dash": dash, "shape": shape}
    figure.add_scatter(name=name, x=x, y=y, mode=mode, line=line, hovertemplate=hover, **style)


def error_bars(
    values: Sequence[float], lows: Sequence[float], highs: Sequence[float], **style: Any
) -> dict[str, Any]:
    """Return Plotly error bars from each low to each high."""
    above = [high - value for value, high in zip(values, highs, strict=True)]
    below = [value - low for value, low in zip(values, lows, strict=True)]
    return {"type": "data", "symmetric": False, "array": above, "arrayminus": below} | style


def add_interval(
    figure: go.Figure, at: str, interval: tuple[float, float, float], color: str, hover: str,
    symbol: str = "diamond",
) -> None:  # fmt: skip
    """Add a value with its interval (low, value, high) to a row of a horizontal chart."""
    low, value, high = interval
    figure.add_scatter(
        x=[value],
        y=[at],
        mode="markers",
        marker={"color": color, "size": 12, "symbol": symbol},
        error_x=error_bars([value], [low], [high], color=color, thickness=2.5),
        hovertemplate=hover,
        showlegend=False,
    )


def local_time(moment: datetime, zone: tzinfo) -> datetime:
    """Return a time on the viewer's clock; Plotly draws a time without its zone."""
    return moment.astimezone(zone).replace(tzinfo=None)
