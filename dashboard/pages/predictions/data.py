"""Downloads of logged predictions, and the search for one."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from dashboard.pages.predictions import texts
from dashboard.shared import data_access
from dashboard.shared.api_client import ApiError, AuthenticationFailed, RequestRejected
from dashboard.shared.cohort import Cohort
from db.export import csv_lines, jsonl_lines
from pipeline.dataset.heart import Coding

MAX_DOWNLOAD_ROWS = 100_000
"""Rows of one download, about 30 MB in memory; `cardiowatch export` streams any number."""


def download(
    form: str, window: str | data_access.TimeRange | None, chosen: Cohort, only: dict[str, Any]
) -> Callable[[], bytes]:
    """Return a function that returns up to `MAX_DOWNLOAD_ROWS` of the newest rows as CSV or JSONL.

    It runs when the button is pressed, not when the page is drawn.
    """
    lines: Callable[[Iterable[dict[str, Any]], Coding], Iterator[str]] = (
        csv_lines if form == "csv" else jsonl_lines
    )
    (since, until), log = data_access.time_range(window), data_access.reader()

    def write() -> bytes:
        rows = log.stream(since=since, until=until, source=chosen.source, only=only)
        text = "".join(lines(itertools.islice(rows, MAX_DOWNLOAD_ROWS), Coding.LABELS))
        return text.encode()

    return write


def of_patient(reference: str) -> list[dict[str, Any]] | str:
    """Return the rows of a patient, newest first, or why there are none."""
    try:
        ids = data_access.client().search(reference)
    except AuthenticationFailed:
        return texts.KEY_CANNOT_READ
    except RequestRejected as rejected:
        return " ".join(message for _, message in rejected.errors) or rejected.detail
    except ApiError:
        return texts.NOT_SEARCHED
    rows = (data_access.reader().get(found) for found in ids[: data_access.ROWS_PER_PAGE])
    return [row for row in rows if row is not None] or texts.NO_PATIENT
