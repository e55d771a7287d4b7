"""Walk along the chains of a log and find every place where one does not hold.

Each entry is sealed anew from its content and from the stored seal of the entry before it. So one
altered row is one finding, and the walk goes on behind it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from heapq import merge
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import Connection, Integer, String, Table, cast, select, type_coerce

from db.chain import Head, count_unsealed, first_seal, vouches
from db.ids import time_of
from db.inserts import received_at_text
from db.removals import Removal, signature_of
from db.seals import (
    FORMAT,
    NOTHING,
    OUTCOME_COLUMNS,
    SealKey,
    digest,
    outcome_content,
    prediction_content,
)
from db.tables import (
    PREDICTION_COLUMNS,
    SEAL_COLUMNS,
    UtcDateTime,
    models,
    outcomes,
    predictions,
    removals,
    writers,
)

_ROWS = 1_000  # fetched at once


@dataclass
class Verdict:
    """What a walk found."""

    counts: Counter[str] = field(default_factory=Counter)
    """Of predictions, outcomes, unsealed rows, and removed entries by reason."""
    writers: int = 0
    findings: list[str] = field(default_factory=list)
    """A sentence each; empty = every chain holds."""


class Link(NamedTuple):
    """One entry, or one stretch of removed ones, with what it takes to check it."""

    first: int
    last: int
    name: str
    digest: bytes | None
    """None = a stretch of removed entries, which only their signature vouches for."""
    seal: bytes | None
    wrong: str
    """What is wrong with the entry by itself; "" = nothing."""


def walk(connection: Connection, key: SealKey, heads: Sequence[Head] | None) -> Verdict:
    """Check every entry of every writer.

    Parameters
    ----------
    connection
        It must show one state of the database throughout.
    key
        The log's.
    heads
        How far the chains came at least, read before that state was taken; None = not known, and
        then nobody can tell whether a chain's end or a whole writer is gone.
    """
    verdict = Verdict()
    known = {row.id: row for row in connection.execute(select(writers).order_by(writers.c.id))}
    # Lines of a log hold many heads of a writer: the farthest of them is the one to come up to.
    farthest = sorted(heads or (), key=attrgetter("entries"))
    expected = {head.writer: head for head in farthest}
    chains = groupby(_links(connection, key, verdict), lambda link: link[0])
    seen = set()
    for number, links in chains:
        seen.add(number)
        if number not in known:
            names = [link.name for _, link in links]
            verdict.findings.append(f"{names[0]}: of writer {number}, which is not in the log")
            continue
        begin = _beginning(known[number], key, verdict)
        verdict.findings += _chain(number, begin, (link for _, link in links), key, expected)
    for number, row in known.items():
        if number not in seen:
            verdict.findings += _chain(number, _beginning(row, key, verdict), (), key, expected)
    _check_writers(known, farthest, verdict)
    _check_unsealed(connection, known, verdict)
    _check_models(connection, verdict)
    verdict.writers = len(known)
    return verdict


def _beginning(row: Any, key: SealKey, verdict: Verdict) -> bytes:
    if row.format != FORMAT or not vouches(key, row):
        verdict.findings.append(f"writer {row.id}: its own row was altered")
    return first_seal(key, row.id, row.name, row.format, row.unsealed)


def _chain(
    writer: int, seal: bytes | None, links: Iterable[Link], key: SealKey, heads: Mapping[int, Head]
) -> Iterator[str]:
    """Walk along one chain; `seal` is what its first entry is sealed upon."""
    number, before = 0, "its beginning"
    head = heads.get(writer)
    for link in links:
        if link.first <= number:
            yield f"{link.name}: entry {link.first} of writer {writer} is there twice"
            continue
        if link.first > number + 1:
            yield _gone(writer, number + 1, link.first - 1, f"between {before} and {link.name}")
            seal = None  # nobody knows what this one was sealed upon
        if link.wrong:
            yield f"{link.name}: {link.wrong}"
        elif link.digest and seal and not _same(link.seal, key.seal(seal, link.digest)):
            yield (
                f"{link.name} (entry {link.first} of writer {writer}): "
                f"altered, or not what followed {before}"
            )
        if head and link.last == head.entries and not _same(link.seal, head.seal):
            yield f"{link.name}: not what the heads say was entry {head.entries} of writer {writer}"
        number, seal, before = link.last, link.seal, link.name
    if head and number < head.entries:
        yield _gone(writer, number + 1, head.entries, f"at the end, after {before}")


def _gone(writer: int, first: int, last: int, where: str) -> str:
    what = f"entry {first}" if first == last else f"entries {first} to {last}"
    return f"{what} of writer {writer}: gone, {where}"


def _check_writers(known: Mapping[int, Any], heads: Sequence[Head], verdict: Verdict) -> None:
    named = {(head.writer, head.name) for head in heads}
    numbers = {*range(1, max([0, *known]) + 1), *(number for number, _ in named)}
    for number in sorted(numbers - set(known)):
        verdict.findings.append(f"writer {number}: gone, with its whole chain")
    for number, name in sorted(named):
        if number in known and known[number].name != name:
            verdict.findings.append(f"writer {number}: not the one that the heads name")


def _check_unsealed(connection: Connection, known: Mapping[int, Any], verdict: Verdict) -> None:
    """Compare the rows without a seal with how many there were when the chain began."""
    there = verdict.counts["unsealed"] = count_unsealed(connection)
    if 1 not in known:
        return
    expected = known[1].unsealed - verdict.counts["unsealed removed"]
    if there != expected:
        verdict.findings.append(
            f"{there} rows are without a seal, and {expected} were when the chain began: "
            + ("some are gone" if there < expected else "the others were slipped in later")
        )


def _check_models(connection: Connection, verdict: Verdict) -> None:
    """Hold each scorecard against its version, which is the beginning of its hash."""
    for row in connection.execute(select(models.c.version, models.c.scorecard)):
        if not hashlib.sha256(row.scorecard.encode()).hexdigest().startswith(row.version):
            verdict.findings.append(f"model {row.version}: its scorecard was altered")


def _links(connection: Connection, key: SealKey, verdict: Verdict) -> Iterator[tuple[int, Link]]:
    """Yield writer and link, in the order of the chains."""
    return merge(
        _predictions(connection, verdict),
        _outcomes(connection, verdict),
        _removed(connection, key, verdict),
        key=lambda found: (found[0], found[1].first),
    )


def _in_order(connection: Connection, table: Table, names: Sequence[str]) -> Iterator[Any]:
    """Stream the sealed rows of a table in the order of the chains.

    Times come as the database keeps them: what was altered there may not be a time any more.
    """
    c = table.c
    writer, number = cast(c.writer, Integer), cast(c.number, c.number.type)
    columns = [
        type_coerce(c[name], String) if isinstance(c[name].type, UtcDateTime) else c[name]
        for name in (*names, "received_at", *SEAL_COLUMNS)
    ]
    wanted = select(*columns, writer.label("of"), number.label("at")).where(c.writer.is_not(None))
    wanted = wanted.order_by(writer, number)
    yield from connection.execute(wanted, execution_options={"yield_per": _ROWS})


def _predictions(connection: Connection, verdict: Verdict) -> Iterator[tuple[int, Link]]:
    width = len(PREDICTION_COLUMNS)
    for row in _in_order(connection, predictions, PREDICTION_COLUMNS):
        verdict.counts["predictions"] += 1
        link = _link(row, f"prediction {row[0]}", prediction_content, row[:width], row[0])
        yield row.of, link


def _outcomes(connection: Connection, verdict: Verdict) -> Iterator[tuple[int, Link]]:
    for row in _in_order(connection, outcomes, OUTCOME_COLUMNS):
        verdict.counts["outcomes"] += 1
        name = f"outcome {row.id} of prediction {row.prediction_id}"
        values = [row.prediction_id, row.id, row.outcome, _time(row.observed_at), row.key_id]
        yield row.of, _link(row, name, outcome_content, values, row.prediction_id)


def _link(row: Any, name: str, content: Any, values: Sequence[Any], id_: str) -> Link:
    found, wrong = None, "altered"
    with suppress(ValueError, TypeError, ArithmeticError, AttributeError):
        found = digest(row.salt, content(values))
        wrong = "" if _received(row.received_at, id_) else "its received_at was altered"
        if NOTHING in values:
            wrong = "a value was put where none was known"
    if (row.writer, row.number) != (row.of, row.at) or not isinstance(row.seal, bytes):
        wrong = "its place in the chain was altered"
    return Link(row.at or 0, row.at or 0, name, found, row.seal, wrong)


def _time(kept: Any) -> datetime | None:
    """Read a time that SQLite keeps as text; only as it writes it."""
    if not isinstance(kept, str):
        time: datetime | None = kept
        return time
    time = datetime.fromisoformat(f"{kept}+00:00")
    if f"{time:%Y-%m-%d %H:%M:%S.%f}" != kept:
        raise ValueError("not as it was written")
    return time


def _received(kept: Any, id_: str) -> bool:
    """Say whether a row's time is the one in its id."""
    return bool(kept == (received_at_text(id_[:13]) if isinstance(kept, str) else time_of(id_)))


def _removed(connection: Connection, key: SealKey, verdict: Verdict) -> Iterator[tuple[int, Link]]:
    c = removals.c
    columns = [
        type_coerce(c[name], String) if name == "removed_at" else c[name]
        for name in (*Removal._fields, "signature")
    ]
    for row in connection.execute(select(*columns).order_by(c.writer, c.first)).all():
        removal, wrong = Removal(*row[:-1]), "their record was altered"
        with suppress(ValueError, TypeError):
            values = (*row[:4], _time(row.removed_at), row.digest, row.seal)
            if _same(row.signature, signature_of(Removal._make(values), key)):
                wrong = ""
        number = removal.last - removal.first + 1
        name = f"the {removal.reason} entries {removal.first} to {removal.last}"
        if not removal.writer:
            verdict.counts["unsealed removed"] += number
            if wrong:
                verdict.findings.append(f"{name}, without a seal: {wrong}")
            continue
        verdict.counts[removal.reason] += number
        seal = removal.seal
        yield removal.writer, Link(removal.first, removal.last, name, removal.digest, seal, wrong)


def _same(kept: object, expected: bytes) -> bool:
    return isinstance(kept, bytes) and hmac.compare_digest(kept, expected)
