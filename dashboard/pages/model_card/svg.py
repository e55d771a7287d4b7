"""The charts of the model card as SVG, for a file without scripts; text has the page's colour."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from dashboard.pages.model_card import texts
from dashboard.pages.model_card.chart_data import CalibrationCurve, ChartData, IntervalChart
from dashboard.shared.charts import BLUE, COLORS, GREY

_W = 640
_SIDE = 380  # of the square that holds the calibration curve
_LEFT, _BOTTOM, _TOP = 56, 44, 34
_NAMES, _ROW = 200, 34
_TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)


def draw(chart: ChartData) -> str:
    """Return one chart."""
    parts, height = (
        _calibration(chart) if isinstance(chart, CalibrationCurve) else _intervals(chart)
    )
    return (
        f'<svg role="img" aria-label="{escape(chart.alt)}" viewBox="0 0 {_W} {height}" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )


def _calibration(chart: CalibrationCurve) -> tuple[list[str], int]:
    def x(share: float) -> float:
        return _LEFT + share * _SIDE

    def y(share: float) -> float:
        return _TOP + (1 - share) * _SIDE

    parts = [_line(x(0), y(0), x(1), y(1), GREY, 'stroke-dasharray="3 4"')]
    for tick in _TICKS:
        parts += [
            _line(x(0), y(tick), x(1), y(tick), GREY, 'stroke-opacity=".25"'),
            _text(x(0) - 8, y(tick) + 4, f"{tick:.0%}", "end"),
            _text(x(tick), y(0) + 20, f"{tick:.0%}", "middle"),
        ]
    parts += [
        _text(x(0.5), y(0) + 40, texts.PREDICTED, "middle"),
        _text(0, 16, texts.OBSERVED, "start"),
    ]
    for i, (name, curve) in enumerate(chart.curves.items()):
        color = COLORS[i % len(COLORS)]
        parts += [_line(x(p.predicted), y(p.low), x(p.predicted), y(p.high), color) for p in curve]
        parts += [_dot(x(p.predicted), y(p.observed), color) for p in curve]
        parts += [_dot(x(1) + 24, _TOP + 22 * i, color)]
        parts += [_text(x(1) + 36, _TOP + 4 + 22 * i, name, "start")]
    return parts, _TOP + _SIDE + _BOTTOM + 4


def _intervals(chart: IntervalChart) -> tuple[list[str], int]:
    low, high = axis_range(chart)
    width = _W - _NAMES - 60

    def x(value: float) -> float:
        return _NAMES + (value - low) / (high - low) * width

    bottom = 8 + _ROW * len(chart.rows)
    parts: list[str] = []
    for tick in ticks(low, high):
        parts += [_line(x(tick), 4, x(tick), bottom, GREY, f'stroke-opacity="{_weight(tick)}"')]
        parts += [_text(x(tick), bottom + 18, _number(tick, chart.around_zero), "middle")]
    for i, row in enumerate(chart.rows):
        at, color = 8 + _ROW * (i + 0.5), BLUE if row.is_conclusive else GREY
        parts += [
            _text(_NAMES - 12, at + 4, row.name, "end"),
            _line(x(row.low), at, x(row.high), at, color),
            _dot(x(row.value), at, color),
            _text(x(row.high) + 10, at + 4, _number(row.value, chart.around_zero, 3), "start"),
        ]
    parts += [_text(_NAMES + width / 2, bottom + 40, chart.axis, "middle")]
    return parts, bottom + 48


def axis_range(chart: IntervalChart) -> tuple[float, float]:
    """Return the ends of the axis, a little beyond the ranges and past zero where it matters."""
    ends = [end for row in chart.rows for end in (row.low, row.high)]
    ends += [0.0] if chart.around_zero else []
    room = 0.06 * (max(ends) - min(ends) or 1.0)
    return min(ends) - room, max(ends) + room


def ticks(low: float, high: float) -> list[float]:
    """Return round numbers between two ends, three to seven of them."""
    step = next(s for s in (0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if (high - low) / s <= 7)
    first = int(low / step) - 1
    found = [round((first + i) * step, 10) for i in range(12)]
    return [tick for tick in found if low <= tick <= high]


def _weight(tick: float) -> str:
    return "1" if tick == 0 else ".25"


def _number(value: float, signed: bool, digits: int = 2) -> str:
    written = f"{value:+.{digits}f}" if signed and value else f"{value:.{digits}f}"
    return written.replace("-", "−")


def _line(x1: float, y1: float, x2: float, y2: float, color: str, more: str = "") -> str:
    ends = _attributes(zip(("x1", "y1", "x2", "y2"), (x1, y1, x2, y2), strict=True))
    return f'<line {ends} stroke="{color}" stroke-width="2" {more}/>'


def _dot(x: float, y: float, color: str) -> str:
    return f'<circle {_attributes((("cx", x), ("cy", y)))} r="5.5" fill="{color}"/>'


def _text(x: float, y: float, words: str, anchor: str) -> str:
    place = _attributes((("x", x), ("y", y)))
    return f'<text {place} text-anchor="{anchor}">{escape(words)}</text>'


def _attributes(values: Iterable[tuple[str, float]]) -> str:
    return " ".join(f'{name}="{value:.1f}"' for name, value in values)
