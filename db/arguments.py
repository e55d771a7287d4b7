"""Command line arguments shared by several programs."""

from __future__ import annotations

import re
import sys

from db.audit.seal_key import SealError

_REFERENCE = re.compile(r"[ -~]{1,64}")


def patient_reference(named: str) -> str:
    """Return a Patient-Reference from the command line; - = one line of standard input.

    Raises
    ------
    SealError
        The service would not accept it.
    """
    given = sys.stdin.buffer.readline().decode("latin-1").strip() if named == "-" else named
    if not _REFERENCE.fullmatch(given):
        raise SealError("A Patient-Reference must be 1 to 64 printable ASCII characters.")
    return given
