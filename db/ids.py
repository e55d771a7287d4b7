"""UUIDv7 identifiers: an id carries the time of its row, so it also determines a partition.

Lower-case hyphenated text sorts like the time it carries, on both databases, so a time window is a
range of ids and the primary key serves it.

Source: RFC 9562, section 5.7.
"""

from __future__ import annotations

import os
import re
import time
from collections import deque
from datetime import UTC, datetime, timedelta
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
YEAR_10000_MS = 253_402_300_800_000
"""`datetime` ends here, UUIDv7 about 900 years later."""


_last: tuple[int, str] = (-1, "")  # the time part of the newest id: thousands share a millisecond

_tails: deque[str] = deque()  # random, each is used once: pop is atomic
os.register_at_fork(after_in_child=_tails.clear)


def new_id(now_ms: int | None = None) -> str:
    """Return a new id for now, or for `now_ms` milliseconds since 1970 UTC.

    72 of its bits are random and come from the operating system, so neither a seeded generator nor
    a forked process can repeat one. Safe in several threads.
    """
    global _last
    ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    known, prefix = _last
    if ms != known:
        digits = f"{ms:012x}"
        prefix = f"{digits[:8]}-{digits[8:]}-7"
        _last = (ms, prefix)
    try:
        tail = _tails.pop()
    except IndexError:
        tail = _refill()
    return f"{prefix}{tail[:3]}-8{tail[3:6]}-{tail[6:]}"


def _refill() -> str:
    """Draw random tails for the next ids at once: each system call releases Python's lock."""
    drawn = os.urandom(9 * 256).hex()
    _tails.extend(drawn[at : at + 18] for at in range(18, len(drawn), 18))
    return drawn[:18]


def is_id(text: str) -> bool:
    """Return whether the text is an id in the form of `new_id`."""
    return _UUID7.fullmatch(text) is not None and timestamp_ms(text) < YEAR_10000_MS


def timestamp_of(id: str) -> datetime:  # noqa: A002 - the field's name everywhere
    """Return the time of an id, UTC, to the millisecond.

    Raises
    ------
    ValueError
        When the text is not an id.
    """
    if not is_id(id):
        raise ValueError("not an id: a lower-case UUIDv7 is expected")
    return _EPOCH + _MILLISECOND * timestamp_ms(id)


@lru_cache(maxsize=1024)
def received_at_text(time_part: str) -> str:
    """Return an id's time as text for both databases, UTC; many rows share a millisecond."""
    received_at = timestamp_of(f"{time_part}-7000-8000-000000000000")
    return f"{received_at:%Y-%m-%d %H:%M:%S.%f}"


def lowest_id_at(t: datetime) -> str:
    """Return the lowest id at or after a time.

    Ids in `[lowest_id_at(a), lowest_id_at(b))` are the rows with `a <= received_at < b`.

    Raises
    ------
    ValueError
        When the time has no time zone.
    """
    return lowest_id_of_ms(ceil_to_ms(t))


def lowest_id_of_ms(ms: int) -> str:
    """Return the lowest id of a millisecond since 1970 UTC."""
    return f"{ms >> 16:08x}-{ms & 0xFFFF:04x}-7000-8000-000000000000"


def ceil_to_ms(t: datetime) -> int:
    """Return the first millisecond at or after a time: ids have whole ones.

    Raises
    ------
    ValueError
        When the time has no time zone.
    """
    if t.tzinfo is None:
        raise ValueError("a time without a time zone is ambiguous: add one, as in ...Z or +01:00")
    return max(0, -((_EPOCH - t) // _MILLISECOND))


def timestamp_ms(id: str) -> int:  # noqa: A002
    """Return the time of an id in milliseconds since 1970 UTC; the id is not checked."""
    return int(id[:8] + id[9:13], 16)
