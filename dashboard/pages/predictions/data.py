"""Downloads of logged predictions."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from dashboard.shared import data_access
from db.export import csv_lines, jsonl_lines
from pipeline.dataset.heart import Coding

MAX_DOWNLOAD_ROWS = 100_000
"""Rows of one download, about 30 MB in memory; `cardiowatch export` streams any number."""


def download(
    form: str, window: str | data_access.TimeRange | None, chosen: str | None, positive: bool | None
) -> Callable[[], bytes]:
    """Return a function that returns up to `MAX_DOWNLOAD_ROWS` of the newest rows as CSV or JSONL.

    It runs when the button is pressed, not when the page is drawn.
    """
    lines: Callable[[Iterable[dict[str, Any]], Coding], Iterator[str]] = (
        csv_lines if form == "csv" else jsonl_lines
    )
    (since, until), log = data_access.time_range(window), data_access.reader()

    def write() -> bytes:
        rows = log.stream(since=since, until=until, source=chosen)
        wanted = (r for r in rows if positive is None or bool(r["prediction"]) is positive)
        text = "".join(lines(itertools.islice(wanted, MAX_DOWNLOAD_ROWS), Coding.LABELS))
        return text.encode()

    return write
