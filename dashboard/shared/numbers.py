"""Numbers, counts and times, formatted for people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, time, timedelta, tzinfo

NBSP = "\u00a0"


def percent(share: float, digits: int = 0) -> str:
    """Return a share from 0 to 1 as a percentage."""
    return f"{share * 100:.{digits}f}{NBSP}%"


def format_share(part: int, whole: int) -> str:
    """Return a share of a whole as a percentage; never "0 %" for more than none."""
    return f"under 1{NBSP}%" if 0 < part < 0.005 * whole else percent(part / whole)


def probability(value: float) -> str:
    """Return a probability as a percentage, never as 0 % or 100 %."""
    if value < 0.005:
        return f"under 1{NBSP}%"
    if value > 0.995:
        return f"over 99{NBSP}%"
    return percent(value)


def per_hundred(value: float) -> int:
    """Return a probability as a number of 100 patients."""
    return round(value * 100)


def join_words(words: Sequence[str]) -> str:
    """Return words joined as "a, b and c"."""
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def signed(value: float | None, digits: int = 2, unknown: str = "unknown") -> str:
    """Return a number with its sign, a true minus, and no sign at zero."""
    if value is None:
        return unknown
    written = f"{value:+.{digits}f}".replace("-", "−")
    return written[1:] if float(written[1:]) == 0 else written


def p_value(p: float | None) -> str:
    """Return a p-value, as "p = 0.012"."""
    if p is None:
        return "–"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def count_noun(n: int, singular: str, plural: str | None = None) -> str:
    """Return a count with its noun."""
    return f"{n:,} {singular if n == 1 else plural or singular + 's'}"


def milliseconds(value: float | None) -> str:
    """Return a duration in milliseconds with two significant digits."""
    if value is None:
        return "–"
    return f"{value:,.0f}{NBSP}ms" if value >= 10 else f"{value:.2g}{NBSP}ms"


def day(moment: datetime) -> str:
    """Return a day, as "4 Mar 2026"."""
    return f"{moment.day} {moment:%b %Y}"


def format_time(moment: datetime, now: datetime) -> str:
    """Return a time: the hour today, otherwise with the day."""
    hour = f"{moment:%H:%M}"
    return f"{hour} today" if moment.date() == now.date() else f"{day(moment)}, {hour}"


def format_window(since: datetime, until: datetime, zone: tzinfo) -> str:
    """Return a window: "of 23 Nov 2026", or "from ... to ..."."""
    start, end = since.astimezone(zone), until.astimezone(zone)
    if until - since == timedelta(days=1) and start.time() == time.min:
        return f"of {day(start)}"
    return f"from {day(start)}, {start:%H:%M} to {day(end)}, {end:%H:%M}"
