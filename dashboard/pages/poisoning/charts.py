"""Poisoning results -> Plotly dose-response curves with bands.

Each defence has its colour, dash and marker: none of them is the only sign.
"""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from dashboard.pages.poisoning import texts
from dashboard.shared.charts import BLUE, GREY, TEAL, VIOLET, add_line, apply_layout
from pipeline.poisoning.metrics import ExperimentCell

_STYLES = {
    "no defence": (BLUE, "solid", "circle"),
    "strong L2 penalty": (GREY, "dot", "square"),
    "confident learning": (TEAL, "dash", "diamond"),
    "nearest neighbours": (VIOLET, "dashdot", "triangle-up"),
}
_BAND_OPACITY = 0.16


def curves(cells: Sequence[ExperimentCell], measure: str, defences: Sequence[str]) -> go.Figure:
    """Draw a measure against the dose, a line and a band per defence.

    Parameters
    ----------
    cells
        One attack's, in the order of their doses.
    measure
        A name of `pipeline.poisoning.metrics.METRICS`.
    defences
        Which to draw.
    """
    figure = go.Figure()
    for defence in defences:
        known = [c for c in cells if c.defence == defence and c.bands[measure] is not None]
        if known:
            _add(figure, defence, known, measure)
    in_percent = measure not in ("auc", "ece")
    apply_layout(figure, hovermode="x unified", showlegend=True)
    figure.update_yaxes(
        tickformat=".0%" if in_percent else ".2f", title_text=texts.MEASURES[measure][0]
    )
    return figure.update_xaxes(
        tickformat=".0%", title_text=texts.DOSE_AXIS, showgrid=False, rangemode="tozero"
    )


def _add(figure: go.Figure, defence: str, cells: Sequence[ExperimentCell], measure: str) -> None:
    color, dash, symbol = _STYLES[defence]
    x = [cell.changed for cell in cells]
    bands = [band for cell in cells if (band := cell.bands[measure]) is not None]
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    figure.add_scatter(
        x=[*x, *reversed(x)], y=[*(b.high for b in bands), *(b.low for b in reversed(bands))],
        fill="toself", fillcolor=f"rgba({red},{green},{blue},{_BAND_OPACITY})", line={"width": 0},
        mode="lines", hoverinfo="skip", showlegend=False, legendgroup=defence,
    )  # fmt: skip
    add_line(
        figure, texts.DEFENCES[defence], x, [b.mean for b in bands], color, "%{customdata}",
        "lines+markers", dash=dash, marker={"symbol": symbol, "size": 8}, legendgroup=defence,
        customdata=[texts.format_band(measure, b) for b in bands],
    )  # fmt: skip
