"""The rate limit of an API key: a token bucket per key and process."""

from __future__ import annotations

import math
from time import monotonic

from api.wire.problems import Problem

BURST_S = 2.0
"""Seconds' worth of requests that an idle key may send at once."""


class RateLimiter:
    """The buckets of all keys; for each only the time at which it is full again is kept.

    Parameters
    ----------
    per_s
        Sustained requests per second of a key; a batch is one request.
    """

    def __init__(self, per_s: float) -> None:
        self._step = 1 / per_s
        self._max_lead = max(BURST_S - self._step, 0) + 1e-6  # a microsecond for rounding
        self._full_at: dict[str, float] = {}

    def acquire(self, key_id: str) -> None:
        """Take one request from a key's bucket.

        Raises
        ------
        Problem
            429, with `Retry-After`.
        """
        now = monotonic()
        full_at = max(now, self._full_at.get(key_id, now))
        wait = full_at - now - self._max_lead
        if wait > 0:
            detail = "Rate limit exceeded for this API key. Nothing was logged; try again later."
            raise Problem(429, "too-often", detail, headers={"Retry-After": f"{math.ceil(wait)}"})
        self._full_at[key_id] = full_at + self._step
