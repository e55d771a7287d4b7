"""Charts of one prediction, as Apache ECharts options, one function each.

Blue = below the threshold, away from disease; orange = at or above it, toward disease. Safe for
colour-blind readers, and never the only sign: position, sign and a label say the same.

Charts that answer an entry are ECharts: 96 ms against Plotly's 156 ms from input to picture (p50,
measured on a prototype). What changes over time is Plotly, in `dashboard.pages.overview.charts`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from dashboard.shared import findings, numbers
from dashboard.shared.charts import BLUE, GREY, ORANGE, Spec
from pipeline.schema import Feature, Kind

_HIDDEN = {"color": "transparent"}
_PROBABILITY_TICKS = {
    0.01: -4.595, 0.05: -2.944, 0.1: -2.197, 0.25: -1.099, 0.5: 0.0,
    0.75: 1.099, 0.9: 2.197, 0.95: 2.944, 0.99: 4.595,
}  # fmt: skip
"""Probability -> log-odds, log(p / (1 - p)): the marks along the top of a waterfall."""

_PERSON = (
    "path://M8 0a3.2 3.2 0 1 1 0 6.4A3.2 3.2 0 0 1 8 0zM4.6 7.4h6.8c1.5 0 2.6 1.1 2.6 2.6v6.2"
    "c0 .9-.6 1.4-1.3 1.4s-1.2-.5-1.2-1.4V22c0 1.1-.7 1.8-1.6 1.8S8.3 23.1 8.3 22h-.6c0 1.1-.7"
    " 1.8-1.6 1.8S4.5 23.1 4.5 22v-5.8c0 .9-.5 1.4-1.2 1.4S2 17.1 2 16.2V10c0-1.5 1.1-2.6 2.6-2.6z"
)


def waterfall(explanation: Mapping[str, Any]) -> Spec:
    """Draw the contributions from the average training patient to this patient, in log-odds.

    Parameters
    ----------
    explanation : mapping
        `base_value` and `contributions` as the API returns them.
    """
    base = explanation["base_value"]
    bars = _waterfall_steps(base, explanation["contributions"])
    total = base + sum(found["contribution"] for found in explanation["contributions"])
    ends = pd.DataFrame(
        {
            "finding": [
                f"Average training patient: {_probability_label(base)}",
                f"This patient: {_probability_label(total)}",
            ],
            "at": [base, total],
        }
    )
    reach = [base, total, *bars["from"]]
    low, high = math.floor(2 * min(reach) - 1) / 2, math.ceil(2 * max(reach) + 1) / 2
    return {
        "animationDuration": 300,
        "dataset": [{"source": bars}, {"source": ends}],
        "grid": {"left": 8, "right": 16, "top": 64, "bottom": 36, "containLabel": True},
        "legend": {"top": 0, "left": 0, "data": [
            "Decreases the estimated risk", "Increases the estimated risk",
        ]},
        "tooltip": {"trigger": "item", "valueFormatter": "%.2f"},
        "xAxis": {
            "type": "value",
            "min": low,
            "max": high,
            "name": "log-odds (0 = 50 %)",
            "nameLocation": "middle",
            "nameGap": 28,
            "splitLine": {"show": False},
        },
        "yAxis": {
            "type": "category",
            "inverse": True,
            "data": [ends["finding"][0], *bars["finding"], ends["finding"][1]],
            "axisLabel": {
                "width": 290, "overflow": "break", "interval": 0, "fontSize": 13, "lineHeight": 15
            },
            "axisTick": {"show": False},
        },
        "series": [
            _invisible_base("log-odds", "from", "finding") | {"stackStrategy": "all"},
            _contribution_bars("decreases the estimated risk", BLUE, "left"),
            _contribution_bars("increases the estimated risk", ORANGE, "right"),
            _end_points(low, high),
        ],
        "media": [{
            "query": {"maxWidth": 500},  # a phone: the bars need most of the width
            "option": {"yAxis": {"axisLabel": {"width": 120, "fontSize": 11, "lineHeight": 12}}},
        }],
    }  # fmt: skip


def _waterfall_steps(base: float, contributions: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return one row per finding, largest first, each starting where the last one ended."""
    rows, position = [], base
    for found in sorted(contributions, key=lambda c: -abs(c["contribution"])):
        size = found["contribution"]
        written = numbers.signed(size)
        rows.append(
            {
                "finding": findings.finding_with_value(found["feature"], found["value"]),
                "from": position,
                "decreases the estimated risk": min(size, 0.0),
                "increases the estimated risk": max(size, 0.0),
                "decreases the estimated risk label": written if size < 0 else "",
                "increases the estimated risk label": written if size >= 0 else "",
            }
        )
        position += size
    return pd.DataFrame(rows)


def _probability_label(log_odds: float) -> str:
    return numbers.probability(1 / (1 + math.exp(-log_odds)))


def _invisible_base(stack: str, x: str, y: str) -> Spec:
    """Return the invisible bar below a floating one."""
    return {
        "type": "bar",
        "stack": stack,
        "itemStyle": _HIDDEN,
        "encode": {"x": x, "y": y},
        "silent": True,
        "tooltip": {"show": False},
        "emphasis": {"disabled": True},
    }


def _contribution_bars(column: str, color: str, label_at: str) -> Spec:
    return {
        "type": "bar",
        "stack": "log-odds",
        "stackStrategy": "all",
        "barWidth": "56%",
        "name": column[0].upper() + column[1:],
        "encode": {"x": column, "y": "finding", "tooltip": [column]},
        "label": {"show": True, "position": label_at, "formatter": f"{{@{column} label}}"},
        "itemStyle": {"color": color, "borderRadius": 2},
    }


def _end_points(low: float, high: float) -> Spec:
    """Return the two patients as points, and the lines of the probability axis."""
    marks = [
        {"xAxis": log_odds, "label": {"formatter": f"{p * 100:g} %"}}
        for p, log_odds in _PROBABILITY_TICKS.items()
        if low < log_odds < high
    ]
    return {
        "type": "scatter",
        "name": "Patient",
        "datasetIndex": 1,
        "symbol": "diamond",
        "symbolSize": 16,
        "itemStyle": {"color": GREY},
        "encode": {"x": "at", "y": "finding", "tooltip": ["at"]},
        "markLine": _lines(marks, "dotted"),
    }


def _lines(marks: list[Spec], style: str) -> Spec:
    return {
        "symbol": "none",
        "silent": True,
        "animation": False,
        "label": {"position": "start"},  # the axis runs downwards, so the start is on top
        "lineStyle": {"type": style, "width": 1, "color": GREY},
        "data": marks,
    }


def icon_array(probability: float) -> Spec:
    """Draw 100 icons; orange = the number expected to have disease."""
    count = numbers.per_hundred(probability)
    places = [[i % 20, i // 20] for i in range(100)]

    def people(name: str, chosen: list[list[int]], color: str, opacity: float) -> Spec:
        return {
            "type": "scatter",
            "name": name,
            "data": chosen,
            "symbol": _PERSON,
            "symbolSize": [13, 21],
            "itemStyle": {"color": color, "opacity": opacity},
            "silent": True,
        }

    return {
        "animation": False,
        "grid": {"left": 8, "right": 8, "top": 34, "bottom": 4},
        "legend": {"top": 0, "left": 0, "selectedMode": False, "icon": "circle"},
        "tooltip": {"show": False},
        "xAxis": {"type": "value", "min": -0.5, "max": 19.5, "show": False},
        "yAxis": {"type": "value", "min": -0.5, "max": 4.5, "inverse": True, "show": False},
        "series": [
            people("Disease", places[:count], ORANGE, 1),
            people("No disease", places[count:], BLUE, 0.55),
        ],
    }


def risk_intervals(
    shown: Sequence[tuple[str, float, tuple[float, float]]], threshold: float
) -> Spec:
    """Draw probabilities with their intervals on one scale from 0 to 100 %.

    Parameters
    ----------
    shown : sequence of (name, probability, (low, high))
        One row each, first on top.
    threshold : float
        Probability from which the prediction is 1; a dashed line.
    """
    frame = pd.DataFrame(
        [
            {"patient": name, "low": low * 100, "range": (high - low) * 100, "estimate": p * 100}
            for name, p, (low, high) in shown
        ]
    )
    mark = {"xAxis": threshold * 100, "label": {"formatter": "threshold"}}
    return {
        "animation": False,
        "dataset": {"source": frame},
        "grid": {"left": 12, "right": 24, "top": 24, "bottom": 4, "containLabel": True},
        "tooltip": {"show": False},
        "xAxis": {"type": "value", "min": 0, "max": 100, "axisLabel": {"formatter": "{value} %"}},
        "yAxis": {
            "type": "category",
            "inverse": True,
            "axisTick": {"show": False},
            "axisLine": {"show": False},
            "axisLabel": {"show": len(shown) > 1, "fontSize": 13},
        },
        "series": [
            _invisible_base("interval", "low", "patient"),
            {
                "type": "bar",
                "stack": "interval",
                "barWidth": 14,
                "name": "95 % interval",
                "encode": {"x": "range", "y": "patient"},
                "itemStyle": {"color": GREY, "opacity": 0.4, "borderRadius": 7},
            },
            {
                "type": "scatter",
                "name": "Estimate",
                "data": [
                    {
                        "value": [100 * p, name],
                        "itemStyle": {"color": ORANGE if p >= threshold else BLUE},
                    }
                    for name, p, _ in shown
                ],
                "symbolSize": 18,
                "markLine": _lines([mark], "dashed"),
            },
        ],
    }


def risk_curve(
    feature: Feature, points: Sequence[tuple[float, float]], probability: float, known: bool
) -> Spec:
    """Draw the estimated risk over the values of one finding.

    Parameters
    ----------
    feature : Feature
        The finding that varies.
    points : sequence of (code, probability)
        From low to high.
    probability : float
        The patient's own; a dashed line, and a point if `known`.
    """
    typed = feature.kind is Kind.NUMBER
    at = [code if typed else feature.format_value(code) for code, _ in points]
    own = [
        {"coord": [x, 100 * p]}
        for x, (_, p) in zip(at, points, strict=True)
        if known and abs(p - probability) < 1e-9
    ]
    line = {"yAxis": 100 * probability, "label": {"formatter": "this patient", "position": "end"}}
    low, high = points[0][0], points[-1][0]
    return {
        "animation": False,
        "grid": {"left": 8, "right": 80, "top": 16, "bottom": 36, "containLabel": True},
        "tooltip": {"trigger": "axis", "valueFormatter": "%.0f"},
        "xAxis": {
            "name": feature.title,
            "nameLocation": "middle",
            "nameGap": 28,
            **({"type": "value", "min": low, "max": high} if typed else {"type": "category"}),
        },
        "yAxis": {"type": "value", "min": 0, "max": 100, "axisLabel": {"formatter": "{value} %"}},
        "series": [
            {
                "type": "line" if typed else "bar",
                "name": "Estimated risk (not logged)",
                "showSymbol": False,
                "barMaxWidth": 48,
                "data": [[x, 100 * p] for x, (_, p) in zip(at, points, strict=True)],
                "itemStyle": {"color": GREY},
                "lineStyle": {"width": 3},
                "markPoint": {"symbol": "circle", "symbolSize": 14, "data": own[:1],
                              "itemStyle": {"color": BLUE}, "label": {"show": False}},
                "markLine": _lines([line], "dashed"),
            }
        ],
    }  # fmt: skip
