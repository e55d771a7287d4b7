"""How often one API key may ask: a bucket per key and process, filled at a steady rate."""

from __future__ import annotations

import math
from time import monotonic

from api.wire.problems import Problem

BURST_S = 2.0
"""A key that has been quiet may ask for so many seconds' worth at once."""


class Pace:
    """The buckets of all keys; of each only the moment at which it is full again is kept.

    Parameters
    ----------
    per_s
        Requests a second that a key may make for long; a batch is one request.
    """

    def __init__(self, per_s: float) -> None:
        self._step = 1 / per_s
        self._most = max(BURST_S - self._step, 0) + 1e-6  # a microsecond for rounding
        self._full_at: dict[str, float] = {}

    def take(self, key_id: str) -> None:
        """Let a key ask once more.

        Raises
        ------
        Problem
            429, with `Retry-After`.
        """
        now = monotonic()
        full_at = max(now, self._full_at.get(key_id, now))
        wait = full_at - now - self._most
        if wait > 0:
            detail = "This key asks more often than it may. Nothing was logged; try again later."
            raise Problem(429, "too-often", detail, headers={"Retry-After": f"{math.ceil(wait)}"})
        self._full_at[key_id] = full_at + self._step
