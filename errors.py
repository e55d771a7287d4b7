"""The base of all errors whose message tells a user what is wrong and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NO, USAGE, UNDECIDABLE, FAILED = 1, 2, 3, 4
"""Exit codes of every command beside 0: the answer is no; wrong usage; it cannot be decided from
the data; it could not run, or could not write its output."""


class CardiowatchError(Exception):
    """An error whose message is one line for the user; `exit_code` is what a command returns."""

    exit_code = FAILED


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name a file in the errors of writing it: that of a full disk names none."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
