"""The caller's names for a patient and for the user who asks, stored only as HMACs."""

from __future__ import annotations

import re
from collections.abc import Collection

from api.auth.authorization import missing_role, sufficient_roles
from api.wire.body import Headers
from api.wire.problems import FieldError, validation_problem
from api.wire.validation_errors import REFERENCE, REFERENCE_IN_WORDS
from db.audit.seal_key import SealKey

_NO_KEY = "{} is not supported: this service's log has no key (LOG_HMAC_KEY_FILE); omit it"

ON_BEHALF = sufficient_roles("on-behalf")
"""Of these roles a key needs one to name an acting user."""


def hash_reference(sent: str, key: SealKey | None) -> bytes:
    """Return the HMAC of a reference, which is what the log keeps.

    Raises
    ------
    Problem
        422 when it is malformed, or when the service has no key to hide it with.
    """
    return _checked(sent, key, "Patient-Reference").hash_patient_reference(sent)


def sent_actor(headers: Headers, key: SealKey | None, roles: Collection[str]) -> bytes | None:
    """Return the HMAC of the acting user, which is what the log keeps; None = none was sent.

    Raises
    ------
    Problem
        403 when the caller's key may name nobody; 422 as in `hash_reference`.
    """
    if b"acting-user" not in headers:
        return None
    if ON_BEHALF.isdisjoint(roles):
        raise missing_role("on-behalf")
    sent = headers[b"acting-user"].decode("latin-1")
    return _checked(sent, key, "Acting-User").hash_acting_user(sent)


def _checked(sent: str, key: SealKey | None, header: str) -> SealKey:
    if key is None or not re.search(REFERENCE, sent):
        message = _NO_KEY.format(header) if key is None else f"{header} takes {REFERENCE_IN_WORDS}"
        reason = header.lower().replace("-", "_")
        raise validation_problem([FieldError("body", message, reason)])
    return key
