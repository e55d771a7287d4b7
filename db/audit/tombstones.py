"""Tombstones: signed records of removed entries, which keep the chain verifiable.

An erased entry leaves its digest. A range of expired ones leaves the seal of its last, from which
the chain continues, and the digest of its first if that is not verified yet. Rows without a seal
leave their number, under writer 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, bindparam, delete, select

from db.audit.chain import lock_registration
from db.audit.seal_key import SealError, SealKey
from db.audit.sealed_entries import (
    SealedEntry,
    constant_time_equal,
    parse_stored_time,
    stored_value,
)
from db.audit.seals import sealed_columns
from db.engine import upsert
from db.schema import tombstones, writers

ERASED, EXPIRED = "erased", "expired"
_UNSEALED = 0
_NAMED = 2_000  # so many stretches are looked for by their places, more by their writers


class Tombstone(NamedTuple):
    """A row of `removals`, but for its signature."""

    writer: int
    first: int
    last: int
    reason: str
    removed_at: datetime
    digest: bytes | None
    seal: bytes | None


def sign(removal: Tombstone, key: SealKey) -> bytes:
    """Return the signature of a tombstone."""
    return key.sign("removal", *removal)


def describe(removal: Tombstone) -> str:
    """Return the entries of a tombstone in words, as the beginning of a sentence."""
    if removal.first == removal.last:
        return f"the {removal.reason} entry {removal.first} of writer {removal.writer}"
    span = f"{removal.first} to {removal.last}"
    return f"the {removal.reason} entries {span} of writer {removal.writer}"


def require_key(connection: Connection, key: SealKey | None) -> None:
    """Refuse to remove entries that cannot be signed for: they would count as tampering.

    Raises
    ------
    SealError
        The log is sealed and there is no key, or a writer sealed columns that are not known here.
    """
    if key is None and _is_sealed(connection):
        raise SealError(
            "This log is sealed: removing rows requires its key; set CARDIOWATCH_LOG_HMAC_KEY_FILE."
        )
    formats = connection.execute(select(writers.c.format, writers.c.columns).distinct())
    if any(sealed_columns(*each) is None for each in formats.all()):
        raise SealError(
            "Nothing is removed: a newer program sealed columns that this one does not know, so "
            "use that one; if there is none, run cardiowatch verify."
        )


def _is_sealed(connection: Connection) -> bool:
    return connection.scalar(select(writers.c.id).limit(1)) is not None


def add_erased(connection: Connection, key: SealKey, erased: Iterable[SealedEntry]) -> None:
    """Add tombstones for entries that this transaction erases, with the digest of each.

    It is the digest of the current content: an entry altered before stays a finding.
    """
    _replace(connection, key, [], _singly(erased, ERASED))


def add_expired(
    connection: Connection, key: SealKey | None, expired: Iterable[SealedEntry]
) -> None:
    """Add tombstones for entries that this transaction removes, given in their chains' order.

    An entry joins the range before it only if its seal follows; any other leaves its digest, which
    db.audit.verify_chain still checks. So no entry is signed unverified.

    Raises
    ------
    SealError
        An earlier tombstone was altered.
    """
    if key is None:
        return
    new = _joined(_singly(expired, EXPIRED), key)
    old = _signed(connection, key, _near(new))
    _replace(connection, key, old, _joined(sorted([*old, *new], key=_place), key))


def add_unsealed(connection: Connection, key: SealKey | None, number: int) -> None:
    """Add to the number of removed entries without a seal.

    Raises
    ------
    SealError
        The tombstone of the earlier ones was altered.
    """
    if key is None or not number:
        return
    lock_registration(connection)
    if not _is_sealed(connection):
        return  # the first writer counts what is left
    old = _signed(connection, key, tombstones.c.writer == _UNSEALED)
    count = number + (old[0].last if old else 0)
    now = datetime.now(UTC)
    _replace(connection, key, old, [Tombstone(_UNSEALED, 1, count, EXPIRED, now, None, None)])


def read_tombstones(
    connection: Connection, key: SealKey, which: ColumnElement[bool] | None = None
) -> Iterator[tuple[Tombstone, bool]]:
    """Yield each tombstone in its chain's order, and whether its signature is valid."""
    c = tombstones.c
    columns = [stored_value(c[name], connection) for name in (*Tombstone._fields, "signature")]
    wanted = select(*columns).order_by(c.writer, c.first)
    if which is not None:
        wanted = wanted.where(which)
    for row in connection.execute(wanted).all():
        removal, right = Tombstone(*row[:-1]), False
        with suppress(ValueError, TypeError):
            time = parse_stored_time(removal.removed_at)
            removal = removal._replace(removed_at=time or removal.removed_at)
            right = constant_time_equal(row.signature, sign(removal, key))
        if right and removal.first < removal.last:
            # A version before kept the digest of a single record that became the end of a stretch.
            removal = removal._replace(digest=None)
        yield removal, right


def _signed(connection: Connection, key: SealKey, which: ColumnElement[bool]) -> list[Tombstone]:
    found = []
    for removal, right in read_tombstones(connection, key, which):
        if not right:
            raise SealError(
                f"The record of {describe(removal)} was altered, so nothing more is removed: see "
                "cardiowatch verify, and docs/record.md for what to do."
            )
        found.append(removal)
    return found


def _singly(gone: Iterable[SealedEntry], reason: str) -> Iterator[Tombstone]:
    """Return a tombstone for each entry; an entry that cannot have been sealed gets none."""
    now = datetime.now(UTC)
    for entry in gone:
        if entry.writer > 0 and entry.number > 0 and entry.digest and entry.seal:
            n = entry.number
            yield Tombstone(entry.writer, n, n, reason, now, entry.digest, entry.seal)


def _joined(parts: Iterable[Tombstone], key: SealKey) -> list[Tombstone]:
    """Merge consecutive tombstones whose seals follow; the parts are in their chains' order."""
    joined: list[Tombstone] = []
    for part in parts:
        before = joined[-1] if joined else None
        if before is None or not _follows(before, part, key):
            joined.append(part)
        elif before.digest is None:
            joined[-1] = before._replace(last=part.last, seal=part.seal)
        else:  # its own first entry is still to be verified
            joined.append(part._replace(digest=None))
    return joined


def _follows(before: Tombstone, part: Tombstone, key: SealKey) -> bool:
    """Return whether a part continues the chain; one without a digest was verified earlier."""
    if (before.writer, before.last + 1) != _place(part):
        return False
    if part.digest is None:
        return True
    return before.seal is not None and constant_time_equal(
        part.seal, key.seal(before.seal, part.digest)
    )


def _place(removal: Tombstone) -> tuple[int, int]:
    return removal.writer, removal.first


def _near(parts: Sequence[Tombstone]) -> ColumnElement[bool]:
    """Select the earlier tombstones that parts could merge with."""
    c = tombstones.c
    near = (c.reason == EXPIRED) & c.writer.in_({part.writer for part in parts})
    if len(parts) <= _NAMED:
        befores = {part.first - 1 for part in parts}
        afters = {part.last + n for part in parts for n in (1, 2)}
        near &= c.last.in_(befores) | c.first.in_(afters)
    return near


def _replace(
    connection: Connection, key: SealKey, old: Sequence[Tombstone], new: Iterable[Tombstone]
) -> None:
    wanted = set(new)
    kept = set(old) & wanted
    gone = [{"of": r.writer, "at": r.first} for r in old if r not in kept]
    if gone:  # each by itself: there may be more than the values that one statement takes
        c = tombstones.c
        place = (c.writer == bindparam("of"), c.first == bindparam("at"))
        connection.execute(delete(tombstones).where(*place), gone)
    rows = [r._asdict() | {"signature": sign(r, key)} for r in wanted - kept]
    if rows:
        # A place that was removed before stays as it is: who put an entry there again is not heard.
        connection.execute(upsert(connection, tombstones).on_conflict_do_nothing(), rows)
