"""A bounded random sample of a window, at a cost that does not grow with the log.

An id begins with its time and ends with random digits. The sample takes rows from evenly spread
time slices (each a range of ids, served by the primary key) and selects among those by their last
digits, so that rows of one batch are not all in or all out. Every row of the window has the same
chance.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    FromClause,
    String,
    Table,
    and_,
    bindparam,
    cast,
    func,
    null,
    or_,
    select,
    true,
)
from sqlalchemy import column as named

from db.ids import lowest_id_at, lowest_id_of_ms
from db.schema import ID, outcomes, predictions, responses
from pipeline.schema import BY_NAME

MAX_SAMPLE = 5_000
"""Rows of the largest sample; its figures are then within about 1 % of the window's."""

SCAN_FACTOR = 4
"""Ratio of rows scanned by id to rows read."""

OVERSAMPLING = 1.25
"""Ratio of rows read to rows wanted: their number is random."""

TIME_SLICES = 2_000
"""Number of slices of a window from which rows are taken."""

_ENTRIES = (2, 10)
"""Ratios of entries read to wanted: some are corrected later or belong to other sources, so many
are read only where few do not suffice."""

_PER_QUERY = 500
_DIGITS = 4  # hexadecimal, at the end of an id
_LEVELS = 16**_DIGITS


class SampledRow(NamedTuple):
    """A prediction of a sample."""

    id: str
    features: tuple[float | None, ...]
    """In the order of `FEATURES`; None = missing."""
    probability: float
    prediction: int
    threshold: float
    model_version: str
    patient_hash: bytes | None = None
    """HMAC of the patient reference, if one was sent."""
    outcome: int | None = None
    """The newest one, where outcomes were asked for."""
    decision: str | None = None
    """That of the newest response, where responses were asked for."""


_COLUMNS = [
    predictions.c[name]
    for name in (
        "id",
        *BY_NAME,
        "probability",
        "prediction",
        "threshold",
        "model_version",
        "patient",
    )
]


def _sampled(row: Sequence[Any]) -> SampledRow:
    at = 1 + len(BY_NAME)
    return SampledRow(row[0], tuple(row[1:at]), *row[at:])


Condition = ColumnElement[bool]


def sample_rows(
    connection: Connection,
    window: tuple[int, int],
    source: str | None,
    n: int,
    *,
    size: int,
    seed: int,
) -> list[SampledRow]:
    """Draw rows of a window at random, without replacement; all of them when they are few.

    Parameters
    ----------
    connection
        To read from.
    window
        Milliseconds since 1970, from and before.
    source
        One of `SOURCES`; None = any.
    n
        The window's number of rows, from its counts; decides the width of the slices.
    size
        Most rows to return.
    seed
        The same seed draws the same rows, as long as the window has them.

    Returns
    -------
    list of SampledRow
        At most `size` rows, oldest first; sometimes a few less.
    """
    start, end = window
    chosen = [] if source is None else [predictions.c.source == source]
    chance = random.Random(seed)  # noqa: S311 - drawn for statistics, and to be drawn again
    if n <= size:
        everything = [(lowest_id_of_ms(start), lowest_id_of_ms(end))]
        return _read(connection, everything, chosen, size)
    looked_at = min(1.0, SCAN_FACTOR * size / n)
    chosen.append(_by_last_digits(OVERSAMPLING * size / (n * looked_at), chance))
    slices = _slices(start, end, looked_at, chance)
    rows = _read(connection, slices, chosen, round(2 * OVERSAMPLING * size))
    kept = chance.sample(rows, size) if len(rows) > size else rows
    return sorted(kept, key=itemgetter(0))


def _slices(start: int, end: int, share: float, chance: random.Random) -> list[tuple[str, str]]:
    """Cover a share of the window: one random slice in each of `TIME_SLICES` equal parts."""
    if share >= 1:
        return [(lowest_id_of_ms(start), lowest_id_of_ms(end))]
    width = (end - start) / TIME_SLICES
    taken = max(1, round(width * share))
    slices = []
    for i in range(TIME_SLICES):
        at = round(start + i * width + chance.random() * (width - taken))
        slices.append((lowest_id_of_ms(at), lowest_id_of_ms(min(at + taken, end))))
    return slices


def _by_last_digits(share: float, chance: random.Random) -> Condition:
    """Keep about this share of the rows, by the random digits at the end of their ids."""
    digits = func.substr(cast(predictions.c.id, String(36)), 37 - _DIGITS, _DIGITS)
    first = chance.randrange(_LEVELS)
    last = first + min(_LEVELS, max(1, round(share * _LEVELS))) - 1
    if last < _LEVELS:
        return digits.between(f"{first:04x}", f"{last:04x}")
    return or_(digits >= f"{first:04x}", digits <= f"{last - _LEVELS:04x}")


def _read(
    connection: Connection,
    slices: Sequence[tuple[str, str]],
    chosen: Sequence[Condition],
    most: int,
) -> list[SampledRow]:
    """Read the rows of the slices, a few hundred slices at a time, sorted by id.

    The database may return them in any order, which must not change the sample.
    """
    rows: list[SampledRow] = []
    for at in range(0, len(slices), _PER_QUERY):
        part, ids = slices[at : at + _PER_QUERY], predictions.c.id
        few = _as_table(part, connection.dialect.name)
        window = ids >= part[0][0], ids < part[-1][1]  # selects partitions
        # Each slice by itself, however few of its rows the database expects to be chosen: lateral
        # with a limit on PostgreSQL; in an outer join SQLite scans the slices first.
        inside = and_(ids >= few.c.low, ids < few.c.high, *window, *chosen)
        wanted = select(*_COLUMNS).select_from(few.outerjoin(predictions, inside)).limit(most)
        if connection.dialect.name == "postgresql":
            of_slice = select(*_COLUMNS).where(inside).limit(most).lateral()
            wanted = select(of_slice).select_from(few.join(of_slice, true())).limit(most)
        found = connection.execute(wanted).all()
        rows += [_sampled(row) for row in found if row[0] is not None]
    return sorted(rows, key=itemgetter(0))


def _as_table(slices: Sequence[tuple[str, str]], dialect: str) -> FromClause:
    """Return the slices as a table made of parameters, so that the query is compiled once."""
    if dialect == "postgresql":
        lows, highs = ([ends[i] for ends in slices] for i in range(2))
        arrays = (bindparam(None, side, ARRAY(ID), unique=True) for side in (lows, highs))
        columns = named("low", ID), named("high", ID)
        return func.unnest(*arrays).table_valued(*columns).render_derived(name="few")
    pair = func.json_each(json.dumps(slices)).table_valued("value").c.value
    low, high = (func.json_extract(pair, f"$[{i}]") for i in range(2))
    return select(low.label("low"), high.label("high")).cte("few")


def rows_with_outcome(
    connection: Connection, ids: tuple[str, str], source: str, known_before: datetime, *, limit: int
) -> list[SampledRow]:
    """Read the newest predictions whose outcome was known before a time, with that outcome.

    An outcome without a time of observation was known when it was recorded. The newest counts.
    """
    o = outcomes.c
    known = or_(
        o.observed_at < known_before,
        and_(o.observed_at.is_(None), o.id < lowest_id_at(known_before)),
    )
    return _with_newest(connection, outcomes, [o.outcome], ids, source, known, limit=limit)


def rows_with_response(
    connection: Connection, ids: tuple[str, str], source: str, *, limit: int
) -> list[SampledRow]:
    """Read the newest predictions that have a response, with the decision of the newest."""
    said = null(), responses.c.decision
    return _with_newest(connection, responses, said, ids, source, true(), limit=limit)


def _with_newest(
    connection: Connection,
    table: Table,
    recorded: Sequence[ColumnElement[Any]],
    ids: tuple[str, str],
    source: str,
    chosen: Condition,
    *,
    limit: int,
) -> list[SampledRow]:
    """Read the newest predictions with an entry in a dependent table, and their newest entry.

    The query is driven by the entries in the range of ids (from, to): they are few among millions
    of predictions.
    """
    p, o = predictions.c, table.c
    # An outer join, so that SQLite scans the entries first; an inner one may be reordered.
    window = p.id >= ids[0], p.id < ids[1]  # again: it also selects the partitions of predictions
    same = and_(
        p.id == o.prediction_id, p.received_at == o.received_at, p.source == source, *window
    )
    wanted = (
        select(*_COLUMNS, *recorded)
        .select_from(table.outerjoin(predictions, same))
        .where(o.prediction_id >= ids[0], o.prediction_id < ids[1], chosen)
        .order_by(o.prediction_id.desc(), o.id.desc())
    )
    newest: dict[str, SampledRow] = {}
    for most in (ratio * limit for ratio in _ENTRIES):
        found = connection.execute(wanted.limit(most)).all()
        for row in found:
            if row[0] is not None:
                newest.setdefault(row[0], _sampled(row))
        if len(newest) >= limit or len(found) < most:
            break
    return list(newest.values())[:limit]
