"""Numbers, counts and times as people read them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, time, timedelta, tzinfo

NBSP = "\u00a0"


def percent(share: float, digits: int = 0) -> str:
    """Write a share from 0 to 1 as a percentage."""
    return f"{share * 100:.{digits}f}{NBSP}%"


def format_share(part: int, whole: int) -> str:
    """Write a share of a whole as a percentage, "under 1 %" rather than a 0 that is not one."""
    return f"under 1{NBSP}%" if 0 < part < 0.005 * whole else percent(part / whole)


def probability(value: float) -> str:
    """Write a probability without ever claiming 0 % or 100 %."""
    if value < 0.005:
        return f"under 1{NBSP}%"
    if value > 0.995:
        return f"over 99{NBSP}%"
    return percent(value)


def per_hundred(value: float) -> int:
    """Return how many of 100 such patients, 0 to 100."""
    return round(value * 100)


def join_words(words: Sequence[str]) -> str:
    """Join words as "a, b and c"."""
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def log_odds(value: float) -> str:
    """Write a contribution with its sign, a true minus, and no "-0.00"."""
    written = f"{value:+.2f}".replace("-", "−")
    return "0.00" if written[1:] == "0.00" else written


def format_signed(value: float | None, digits: int = 2) -> str:
    """Write a number with its sign and a true minus; None = not known."""
    return "not known" if value is None else f"{value:+.{digits}f}".replace("-", "−")


def count_noun(n: int, singular: str, plural: str | None = None) -> str:
    """Write a count with its noun."""
    return f"{n:,} {singular if n == 1 else plural or singular + 's'}"


def milliseconds(value: float | None) -> str:
    """Write a duration in milliseconds with two significant digits."""
    if value is None:
        return "–"
    return f"{value:,.0f}{NBSP}ms" if value >= 10 else f"{value:.2g}{NBSP}ms"


def format_time(moment: datetime, now: datetime) -> str:
    """Write a time for people: the hour today, otherwise the day too."""
    if moment.date() == now.date():
        return f"{moment:%H:%M} today"
    return f"{moment.day} {moment:%b %Y, %H:%M}"


def format_window(since: datetime, until: datetime, zone: tzinfo) -> str:
    """Write a stretch of time: "of 23 Nov 2026", or from when to when."""
    start, end = since.astimezone(zone), until.astimezone(zone)
    if until - since == timedelta(days=1) and start.time() == time.min:
        return f"of {start.day} {start:%b %Y}"
    return f"from {start.day} {start:%b %Y, %H:%M} to {end.day} {end:%b %Y, %H:%M}"
