"""The `Patient-Reference` header: the caller's own name for a patient, never stored as it is."""

from __future__ import annotations

from api.wire.body import Headers
from api.wire.problems import FieldError, invalid
from db.audit.seal_key import SealKey

_NAME = b"patient-reference"
_LONGEST = 64
_MALFORMED = f"Patient-Reference takes 1 to {_LONGEST} printable ASCII characters"
_NO_KEY = (
    "This service cannot keep a Patient-Reference: its log has no key (LOG_HMAC_KEY_FILE); "
    "leave the header out"
)


def patient_of(headers: Headers, key: SealKey | None) -> bytes | None:
    """Return what is stored of the reference: an HMAC; None when none was sent.

    Raises
    ------
    Problem
        422 when it is malformed, or when the service has no key to hide it with.
    """
    sent = headers.get(_NAME)
    if sent is None:
        return None
    if not 0 < len(sent) <= _LONGEST or not all(31 < byte < 127 for byte in sent):
        raise invalid([FieldError("body", _MALFORMED, "patient_reference")])
    if key is None:
        raise invalid([FieldError("body", _NO_KEY, "patient_reference")])
    return key.patient(sent.decode("ascii"))
