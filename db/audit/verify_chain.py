"""Verify the chains of a log and report every break.

Each entry's seal is computed from its content and the stored seal of the entry before it. So one
altered row is one finding, and verification continues after it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from heapq import merge
from itertools import groupby, pairwise
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from db.audit.chain import ChainHead, has_signed_columns, initial_seal, is_authentic
from db.audit.seal_key import SealKey
from db.audit.sealed_entries import constant_time_equal, count_unsealed, read_entries
from db.audit.seals import sealed_columns
from db.audit.tombstones import describe, read_tombstones
from db.ids import is_id, timestamp_of
from db.schema import models, writers

_TIME = "%Y-%m-%d %H:%M:%S"
_VERSION_LENGTH = 12
"""Hexadecimal digits of a model's version, at least."""


@dataclass
class Verification:
    """The result of verifying a log."""

    counts: Counter[str] = field(default_factory=Counter)
    """Entries by table, unsealed rows, and removed entries by reason."""
    writers: int = 0
    versions: set[str] = field(default_factory=set)
    """Versions of the models that made the predictions."""
    writers_without_head: list[int] = field(default_factory=list)
    """Writers missing from the heads: a truncated tail of theirs cannot be found."""
    findings: list[str] = field(default_factory=list)
    """A sentence each; empty = every chain is intact."""


class ChainLink(NamedTuple):
    """One entry, or one range of removed ones, with what is needed to check it."""

    first: int
    last: int
    name: str
    digest: bytes | None
    """None = a range of removed entries, covered only by its signature."""
    seal: bytes | None
    fault: str
    """What is wrong with the entry on its own; "" = nothing."""


def verify_chains(
    connection: Connection,
    key: SealKey,
    heads: Sequence[ChainHead] | None,
    until: datetime | None = None,
) -> Verification:
    """Check every entry of every writer.

    Parameters
    ----------
    connection
        It must show one state of the database throughout.
    key
        The log's key.
    heads
        Lower bounds of the chains' lengths, read before that state was taken. Without them (None) a
        truncated tail or a missing newest writer cannot be found.
    until
        When the heads were last written (UTC): no entry that they count is newer.
    """
    verdict = Verification()
    known = {row.id: row for row in connection.execute(select(writers).order_by(writers.c.id))}
    # Log lines hold many heads of a writer: the longest counts.
    farthest = sorted(heads or (), key=attrgetter("entries"))
    expected = {head.writer: head for head in farthest}
    chains = groupby(_links(connection, key, verdict), lambda link: link[0])
    seen = set()
    for number, links in chains:
        seen.add(number)
        if number not in known:
            names = [link.name for _, link in links]
            verdict.findings.append(
                f"{names[0]}: belongs to writer {number}, which is missing from the log"
            )
            continue
        begin = _beginning(known[number], key, verdict)
        found = (link for _, link in links)
        verdict.findings += _chain(number, begin, found, key, expected.get(number), until)
    for number, row in known.items():
        if number not in seen:
            begin = _beginning(row, key, verdict)
            verdict.findings += _chain(number, begin, (), key, expected.get(number), until)
    _check_writers(known, farthest, until, verdict)
    _check_unsealed(connection, known, verdict)
    _check_models(connection, verdict)
    verdict.writers_without_head = [number for number in known if heads and number not in expected]
    verdict.writers = len(known)
    return verdict


def _beginning(row: Any, key: SealKey, verdict: Verification) -> bytes:
    known = sealed_columns(row.format, row.columns) is not None
    if not (known and is_authentic(key, row) and has_signed_columns(key, row)):
        verdict.findings.append(f"writer {row.id}: its own row was altered")
    return initial_seal(key, row.id, row.name, row.format, row.unsealed)


def _chain(
    writer: int,
    seal: bytes | None,
    links: Iterable[ChainLink],
    key: SealKey,
    head: ChainHead | None,
    until: datetime | None,
) -> Iterator[str]:
    """Verify one chain; `seal` is the seal before its first entry."""
    number, before = 0, "its beginning"
    for link in links:
        if link.first <= number:
            yield f"{link.name}: entry {link.first} of writer {writer} is duplicated"
            continue
        if link.first > number + 1:
            yield _gone(writer, number + 1, link.first - 1, f"between {before} and {link.name}")
            seal = None  # the seal before this entry is unknown
        if link.fault:
            yield f"{link.name}: {link.fault}"
        elif (
            link.digest and seal and not constant_time_equal(link.seal, key.seal(seal, link.digest))
        ):
            yield (
                f"{link.name} (entry {link.first} of writer {writer}): "
                f"altered, or out of sequence after {before}"
            )
        if head and link.last == head.entries and not constant_time_equal(link.seal, head.seal):
            yield f"{link.name}: differs from the chain head of writer {writer}"
        number, seal, before = link.last, link.seal, link.name
    if head and number < head.entries:
        lost = _lost(head.entries - number, f"{before} {head.name}", until)
        yield _gone(writer, number + 1, head.entries, f"tail truncated after {before} ({lost})")


def _gone(writer: int, first: int, last: int, where: str) -> str:
    what = f"entry {first}" if first == last else f"entries {first} to {last}"
    return f"{what} of writer {writer}: missing, {where}"


def _lost(count: int, after: str, until: datetime | None) -> str:
    """Return how many entries are gone and when they were written, as no id of theirs is known.

    The first id in `after` names the earliest time.
    """
    since = next((f"{timestamp_of(word):{_TIME}}" for word in after.split() if is_id(word)), "?")
    return f"{count:,} written from {since} to {f'{until:{_TIME}}' if until else '?'} UTC"


def _check_writers(
    known: Mapping[int, Any],
    heads: Sequence[ChainHead],
    until: datetime | None,
    verdict: Verification,
) -> None:
    named = {(head.writer, head.name) for head in heads}
    numbers = sorted({*known, *(number for number, _ in named)})
    for before, number in pairwise([0, *numbers]):
        if number > before + 1:
            gone = f"writer {before + 1}"
            if number > before + 2:
                gone = f"writers {before + 1} to {number - 1}"
            verdict.findings.append(f"{gone}: missing, with its entire chain")
    for head in {head.writer: head for head in heads if head.writer not in known}.values():
        lost = _lost(head.entries, head.name, until)
        verdict.findings.append(f"writer {head.writer}: missing, with its entire chain ({lost})")
    for number, name in sorted(named):
        if number in known and known[number].name != name:
            verdict.findings.append(f"writer {number}: does not match the writer in the heads")


def _check_unsealed(
    connection: Connection, known: Mapping[int, Any], verdict: Verification
) -> None:
    """Compare the number of rows without a seal with that from when the chain began."""
    there = verdict.counts["unsealed"] = count_unsealed(connection)
    if 1 not in known or not isinstance(known[1].unsealed, int):
        return
    expected = known[1].unsealed - verdict.counts["unsealed removed"]
    if there != expected:
        verdict.findings.append(
            f"{there} rows have no seal, but {expected} had none when the chain began: "
            + ("some are missing" if there < expected else "the others were inserted later")
        )
    later = count_unsealed(connection, after=str(known[1].name))
    if later:
        verdict.findings.append(f"{later} rows without a seal are newer than the chain")


def _check_models(connection: Connection, verdict: Verification) -> None:
    """Check each scorecard against its version, which is a prefix of its hash."""
    kept = set()
    for row in connection.execute(select(models.c.version, models.c.scorecard)):
        kept.add(row.version)
        if not _is_version(row.version, row.scorecard):
            verdict.findings.append(f"model {row.version}: its scorecard was altered")
    for gone in sorted(verdict.versions - kept):
        verdict.findings.append(f"model {gone}: its scorecard is missing")


def _is_version(version: Any, scorecard: Any) -> bool:
    if not (isinstance(version, str) and isinstance(scorecard, str)):
        return False
    hashed = hashlib.sha256(scorecard.encode("utf-8", "surrogatepass")).hexdigest()
    return len(version) >= _VERSION_LENGTH and hashed.startswith(version)


def _links(
    connection: Connection, key: SealKey, verdict: Verification
) -> Iterator[tuple[int, ChainLink]]:
    """Yield writer and link, in the order of the chains."""
    return merge(
        _entries(connection, verdict),
        _removed(connection, key, verdict),
        key=lambda found: (found[0], found[1].first),
    )


def _entries(connection: Connection, verdict: Verification) -> Iterator[tuple[int, ChainLink]]:
    for entry in read_entries(connection):
        verdict.counts[entry.table] += 1
        if entry.version is not None:
            verdict.versions.add(entry.version)
        n = entry.number
        yield entry.writer, ChainLink(n, n, entry.name, entry.digest, entry.seal, entry.fault)


def _removed(
    connection: Connection, key: SealKey, verdict: Verification
) -> Iterator[tuple[int, ChainLink]]:
    for removal, right in read_tombstones(connection, key):
        if not right:
            verdict.findings.append(f"the record of {describe(removal)} was altered")
            continue
        number = removal.last - removal.first + 1
        if not removal.writer:
            verdict.counts["unsealed removed"] += number
            continue
        verdict.counts[removal.reason] += number
        place = (removal.first, removal.last)
        yield removal.writer, ChainLink(*place, describe(removal), removal.digest, removal.seal, "")
