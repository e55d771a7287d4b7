"""The caller's pseudonym for a patient, stored only as an HMAC."""

from __future__ import annotations

import re

from api.wire.problems import FieldError, validation_problem
from api.wire.validation_errors import REFERENCE, REFERENCE_IN_WORDS
from db.audit.seal_key import SealKey

_NO_KEY = (
    "A patient reference is not supported: this service's log has no key (LOG_HMAC_KEY_FILE); "
    "omit it"
)


def hash_reference(sent: str, key: SealKey | None) -> bytes:
    """Return the HMAC of a reference, which is what the log keeps.

    Raises
    ------
    Problem
        422 when it is malformed, or when the service has no key to hide it with.
    """
    message = f"Patient-Reference takes {REFERENCE_IN_WORDS}"
    if key is None or not re.search(REFERENCE, sent):
        message = _NO_KEY if key is None else message
        raise validation_problem([FieldError("body", message, "patient_reference")])
    return key.hash_patient_reference(sent)
