"""Entries that are removed on purpose: what remains of them is signed, so that the chain holds.

An erased entry leaves its digest; a stretch of expired ones leaves the seal of its last, from which
the chain goes on. Rows without a seal leave their number, under writer 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import Connection, delete, insert, select, tuple_

from db.chain import keep_from_joining
from db.seals import SealError, SealKey
from db.tables import removals, writers

ERASED, EXPIRED = "erased", "expired"
_UNSEALED = 0


class Removal(NamedTuple):
    """A row of `removals`, but for its signature."""

    writer: int
    first: int
    last: int
    reason: str
    removed_at: datetime
    digest: bytes | None
    seal: bytes | None


def signature_of(removal: Removal, key: SealKey) -> bytes:
    """Sign that the entries were removed on purpose."""
    return key.sign("removal", *removal)


class Entry(NamedTuple):
    """What a removal needs to know of an erased entry; writer None = it has no seal."""

    writer: int | None
    number: int | None
    seal: bytes | None
    digest: bytes | None


class Stretch(NamedTuple):
    """Expired entries of one writer without a gap between them, and the seal of the last."""

    writer: int
    first: int
    last: int
    seal: bytes | None


def require_key(connection: Connection, key: SealKey | None) -> None:
    """Refuse to remove entries of a sealed log without its key: they would seem to be stolen.

    Raises
    ------
    SealError
        The log is sealed and there is no key.
    """
    if key is None and _is_sealed(connection):
        raise SealError(
            "This log is sealed: nothing is removed without its key; set "
            "CARDIOWATCH_LOG_HMAC_KEY_FILE."
        )


def _is_sealed(connection: Connection) -> bool:
    return connection.scalar(select(writers.c.id).limit(1)) is not None


def leave_erased(connection: Connection, key: SealKey, entries: Iterable[Entry]) -> None:
    """Write what remains of entries that this transaction erases: the digest of each."""
    now, sealed, unsealed = datetime.now(UTC), [], 0
    for entry in entries:
        if entry.writer is None or entry.number is None:
            unsealed += 1
        else:
            n = entry.number
            sealed.append(Removal(entry.writer, n, n, ERASED, now, entry.digest, entry.seal))
    leave_unsealed(connection, key, unsealed)
    _replace(connection, key, [], sealed)


def leave_expired(
    connection: Connection, key: SealKey | None, stretches: Iterable[Stretch]
) -> None:
    """Write what remains of stretches that this transaction removes.

    Neighbours become one, also with those that expired before.
    """
    if key is None:
        return
    now = datetime.now(UTC)
    new = [Removal(s.writer, s.first, s.last, EXPIRED, now, None, s.seal) for s in stretches]
    before = _stretches(connection, {one.writer for one in new}, EXPIRED)
    _replace(connection, key, before, _joined([*before, *new]))


def leave_unsealed(connection: Connection, key: SealKey | None, number: int) -> None:
    """Write that this transaction removes so many entries without a seal, for whatever reason."""
    if key is None or not number:
        return
    keep_from_joining(connection)
    if _is_sealed(connection):  # or the first writer counts what is left
        before = _stretches(connection, [_UNSEALED], None)
        count = number + (before[0].last if before else 0)
        now = datetime.now(UTC)
        _replace(connection, key, before, [Removal(0, 1, count, EXPIRED, now, None, None)])


def _stretches(connection: Connection, of: Iterable[int], reason: str | None) -> list[Removal]:
    wanted = select(*[removals.c[name] for name in Removal._fields])
    wanted = wanted.where(removals.c.writer.in_(list(of)))
    if reason is not None:
        wanted = wanted.where(removals.c.reason == reason)
    return [Removal(*row) for row in connection.execute(wanted)]


def _joined(parts: Iterable[Removal]) -> list[Removal]:
    joined: list[Removal] = []
    for part in sorted(parts, key=lambda part: (part.writer, part.first)):
        if joined and (joined[-1].writer, joined[-1].last + 1) == (part.writer, part.first):
            joined[-1] = part._replace(first=joined[-1].first)
        else:
            joined.append(part)
    return joined


def _replace(
    connection: Connection, key: SealKey, old: Sequence[Removal], new: Sequence[Removal]
) -> None:
    kept = set(old) & set(new)
    gone = [(r.writer, r.first) for r in old if r not in kept]
    if gone:
        place = tuple_(removals.c.writer, removals.c.first)
        connection.execute(delete(removals).where(place.in_(gone)))
    rows = [r._asdict() | {"signature": signature_of(r, key)} for r in new if r not in kept]
    if rows:
        connection.execute(insert(removals), rows)
