"""Seals: an HMAC that ties an entry of the log to its content and to the entry before it.

    digest = SHA-256(salt, content)
    seal   = HMAC-SHA-256(key, seal of the entry before, digest)

The salt is random: once an erased row's content and salt are deleted, its digest reveals nothing
about the patient, and the chain can still be verified.
"""

from __future__ import annotations

import hashlib
import struct
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC
from math import copysign
from operator import itemgetter
from typing import Any

import msgspec

from db.schema import PREDICTION_COLUMNS
from pipeline.schema import FEATURES, NAMES, Kind

FORMAT = 1
"""Version of the serialization; stored per writer, so a new one leaves old seals valid."""

SALT_BYTES = 16

Seal = tuple[int | None, int | None, bytes | None, bytes | None]
"""An entry's writer, number, salt and seal; None in a log without a key."""

NO_SEAL: Seal = (None, None, None, None)


_AT = {name: at for at, name in enumerate(PREDICTION_COLUMNS)}
_NUMBERS = (*NAMES, "probability", "prediction", "threshold", "latency_ms")
_numbers_of = itemgetter(*(_AT[name] for name in _NUMBERS))
_texts_of = itemgetter(*(at for name, at in _AT.items() if name not in _NUMBERS))
_MAY_BE_ZERO = [_AT[f.name] for f in FEATURES if f.kind is Kind.NUMBER and f.low <= 0 <= f.high]

_pack = struct.Struct(f"<{len(_NUMBERS)}d").pack
_write = msgspec.msgpack.Encoder().encode

MISSING_NUMBER = -sys.float_info.max
"""Stands for an unknown number: no limits admit it, and verify_chain rejects it."""


def serialize_prediction(row: Sequence[Any]) -> bytes:
    """Serialize a prediction (order of `PREDICTION_COLUMNS`), the same before and after storage.

    Its texts and bytes as MessagePack, then its numbers as little-endian doubles, because an API
    may send a code as 1.0 and a database return 1. `received_at` is in the id.

    Raises
    ------
    ValueError
        When a value is not a number but should be.
    """
    numbers = _numbers_of(row)
    try:
        packed = _pack(*numbers)
    except struct.error:  # an unknown value: rare enough for an exception to be cheaper
        packed = _pack_anew(numbers)
    for at in _MAY_BE_ZERO:
        if row[at] == 0 and copysign(1, row[at]) < 0:  # SQLite keeps -0.0 as 0.0
            packed = _pack_anew(numbers)
    return _write(_texts_of(row)) + packed


def _pack_anew(numbers: Iterable[float | None]) -> bytes:
    try:
        return _pack(*[MISSING_NUMBER if value is None else value + 0.0 for value in numbers])
    except (struct.error, TypeError) as error:
        raise ValueError("a number is expected") from error


OUTCOME_COLUMNS = ("prediction_id", "id", "outcome", "observed_at", "key_id")


def serialize_outcome(row: Sequence[Any]) -> bytes:
    """Serialize an outcome (order of `OUTCOME_COLUMNS`), times in UTC."""
    prediction_id, id_, outcome, observed_at, key_id = row
    observed = observed_at and observed_at.astimezone(UTC).isoformat(timespec="microseconds")
    return _write(("outcome", prediction_id, id_, outcome, observed, key_id))


def entry_digest(salt: bytes, content: bytes) -> bytes:
    """Return the digest of an entry, which its seal covers."""
    return hashlib.sha256(salt + content).digest()
