"""The `Patient-Reference` header: the caller's pseudonym for a patient, stored only as an HMAC."""

from __future__ import annotations

from api.wire.problems import FieldError, validation_problem
from db.audit.seal_key import SealKey

_MAX_LENGTH = 64
_MALFORMED = f"Patient-Reference takes 1 to {_MAX_LENGTH} printable ASCII characters"
_NO_KEY = (
    "Patient-Reference is not supported: this service's log has no key (LOG_HMAC_KEY_FILE); "
    "omit the header"
)


def hash_reference(sent: bytes, key: SealKey | None) -> bytes:
    """Return the HMAC of a reference, which is what the log keeps.

    Raises
    ------
    Problem
        422 when it is malformed, or when the service has no key to hide it with.
    """
    if not 0 < len(sent) <= _MAX_LENGTH or not all(31 < byte < 127 for byte in sent):
        raise validation_problem([FieldError("body", _MALFORMED, "patient_reference")])
    if key is None:
        raise validation_problem([FieldError("body", _NO_KEY, "patient_reference")])
    return key.hash_patient_reference(sent.decode("ascii"))
