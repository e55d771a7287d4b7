"""The base of all errors whose message tells a user what is wrong and what to do."""

from __future__ import annotations

NO, USAGE, UNDECIDABLE, FAILED = 1, 2, 3, 4
"""Exit codes of every command beside 0: the answer is no; wrong usage; it cannot be decided from
the data; it could not run, or could not write its output."""


class CardiowatchError(Exception):
    """An error whose message is one line for the user; `exit_code` is what a command returns."""

    exit_code = FAILED
