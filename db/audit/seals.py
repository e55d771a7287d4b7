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
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from operator import itemgetter
from typing import Any

import msgspec
from sqlalchemy import Double, SmallInteger, Table

from db.migrations import FIRST_FEATURES
from db.schema import PREDICTION_COLUMNS, outcomes, predictions, responses

FORMAT = 2
"""How a writer seals: 1 = `FIRST_COLUMNS`, 2 = the columns in its record, which are signed too."""

SALT_BYTES = 16

Seal = tuple[int | None, int | None, bytes | None, bytes | None]
"""An entry's writer, number, salt and seal; None in a log without a key."""

NO_SEAL: Seal = (None, None, None, None)

MISSING_NUMBER = -sys.float_info.max
"""Stands for an unknown number: no limits admit it, and verify_chain rejects it."""

_NEGATIVE_ZERO = struct.pack("<d", -0.0)
_write = msgspec.msgpack.Encoder().encode

Content = Callable[[Sequence[Any]], bytes]
"""Serializes an entry, the same before and after storage."""


class SealedColumns(msgspec.Struct, frozen=True):
    """The columns of a prediction that a writer seals, in this order."""

    texts: tuple[str, ...]
    """Texts and bytes."""
    numbers: tuple[str, ...]
    """Measurements, codes and counts."""


def _current() -> SealedColumns:
    numbers = [
        name
        for name in PREDICTION_COLUMNS
        if isinstance(predictions.c[name].type, (Double, SmallInteger))
    ]
    texts = [name for name in PREDICTION_COLUMNS if name not in numbers]
    return SealedColumns(tuple(texts), tuple(numbers))


OUR_COLUMNS = _current()
"""What this program seals."""

FIRST_COLUMNS = SealedColumns(
    ("id", "source", "model_version", "key_id", "patient"),
    (*FIRST_FEATURES, "probability", "prediction", "threshold", "latency_ms"),
)
"""What a writer of format 1 sealed."""


def sealed_columns(form: object, kept: object) -> SealedColumns | None:
    """Read which columns a writer sealed from the `format` and `columns` of its record.

    None = this program does not know them: a newer one wrote them, or they were altered.
    """
    if form == 1:
        return FIRST_COLUMNS
    with suppress(msgspec.DecodeError, TypeError):
        found = msgspec.json.decode(str(kept), type=SealedColumns)
        ours = set(PREDICTION_COLUMNS).issuperset((*found.texts, *found.numbers))
        if form == FORMAT and ours and min(len(found.texts), len(found.numbers)) > 1:
            return found
    return None


@lru_cache
def content_of(columns: SealedColumns) -> Content:
    """Return what serializes a prediction (order of `PREDICTION_COLUMNS`) for these columns.

    Its texts and bytes as MessagePack, then its numbers as little-endian doubles, because an API
    may send a code as 1.0 and a database return 1. `received_at` is in the id. A value that is not
    a number but should be, or that stands in any other column, is a ValueError.
    """
    at = PREDICTION_COLUMNS.index
    texts_of = itemgetter(*map(at, columns.texts))
    numbers_of = itemgetter(*map(at, columns.numbers))
    pack = struct.Struct(f"<{len(columns.numbers)}d").pack
    others = [at(c) for c in PREDICTION_COLUMNS if c not in columns.texts + columns.numbers]

    def content(row: Sequence[Any]) -> bytes:
        numbers = numbers_of(row)
        try:
            packed = pack(*numbers)
        except struct.error:  # an unknown value: rare enough for an exception to be cheaper
            packed = pack(*_plain(numbers))
        if _NEGATIVE_ZERO in packed:  # SQLite keeps -0.0 as 0.0
            packed = pack(*_plain(numbers))
        for other in others:
            if row[other] is not None:
                raise ValueError("a column that was added later has a value")
        return _write(texts_of(row)) + packed

    return content


def _plain(numbers: Iterable[float | None]) -> list[float]:
    try:
        return [MISSING_NUMBER if value is None else value + 0.0 for value in numbers]
    except TypeError as error:
        raise ValueError("a number is expected") from error


serialize_prediction = content_of(OUR_COLUMNS)

DEPENDENT_COLUMNS = {
    outcomes: ("prediction_id", "id", "outcome", "observed_at", "key_id"),
    responses: ("prediction_id", "id", "decision", "reason", "action", "key_id", "actor"),
}
"""What is sealed of an entry about a prediction, in this order."""


def serialize_dependent(table: Table, row: Sequence[Any]) -> bytes:
    """Serialize an outcome or a response (order of `DEPENDENT_COLUMNS`), times in UTC."""
    values = (
        value.astimezone(UTC).isoformat(timespec="microseconds")
        if isinstance(value, datetime)
        else value
        for value in row
    )
    return _write((table.name.removesuffix("s"), *values))


def entry_digest(salt: bytes, content: bytes) -> bytes:
    """Return the digest of an entry, which its seal covers."""
    return hashlib.sha256(salt + content).digest()
