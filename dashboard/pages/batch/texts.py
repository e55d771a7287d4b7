"""Texts of the Batch page."""

from __future__ import annotations

from dashboard.shared.api_client import MAX_BATCH
from dashboard.shared.numbers import count_noun

LEAD = (
    f"Estimate up to {MAX_BATCH:,} patients from a CSV file. All of them are logged as live "
    "predictions, or none."
)
TEMPLATE = (
    "One patient per line. Only age and sex are required; leave other cells empty if unknown. "
    "Decimal comma or point; columns separated by comma, semicolon or tab."
)
NOT_TEXT = "The file is not UTF-8 text. Save it as “CSV UTF-8”."
EMPTY = "The file has no patients below its first line."
NO_HEADER = "The first line must name the columns, at least age and sex. Download the template."
TOO_MANY = f"The file has more than {MAX_BATCH:,} patients. Split it."
UNKNOWN_COLUMN = "Not a column of the template. Remove or rename it."
REPEATED_COLUMN = "This column appears more than once."
EXTRA_CELLS = "This line has more cells than the first line has columns."
REFERENCE = "Write 1 to 64 plain characters, no accents."
NOTHING_SENT = "Nothing was sent. Correct the file and choose it again."
SENDING = "Estimating and logging; this takes a few seconds."


def errors(n: int, shown: int) -> str:
    """Return how many cells are wrong."""
    listed = f" The first {shown} are listed." if n > shown else ""
    return f"**{count_noun(n, 'error')} in the file.** {NOTHING_SENT}{listed}"


def ready(n: int, unusual: int, unknown: int) -> str:
    """Return what a file without errors holds."""
    return (
        f"**{count_noun(n, 'patient')} can be sent**, with {count_noun(unknown, 'unknown finding')}"
        f" and {count_noun(unusual, 'unusual value')}. The first ones:"
    )


def done(n: int, positive: int) -> str:
    """Return the result of a batch."""
    return (
        f"**{count_noun(n, 'patient')} estimated and logged**, {positive:,} of them positive (at "
        "or above the threshold). Not a diagnosis."
    )
