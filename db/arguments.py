"""What several programs take on the command line."""

from __future__ import annotations

import re
import sys

from db.audit.seal_key import SealError

_REFERENCE = re.compile(r"[ -~]{1,64}")


def patient_reference(named: str) -> str:
    """Return a Patient-Reference as the command line names it: - = one line of standard input.

    Raises
    ------
    SealError
        It is none that the service takes.
    """
    given = sys.stdin.buffer.readline().decode("latin-1").strip() if named == "-" else named
    if not _REFERENCE.fullmatch(given):
        raise SealError("A Patient-Reference has 1 to 64 printable ASCII characters.")
    return given
