"""How often each value occurred in a window: from rollups where they are current, else from rows.

Clinical values are discrete, so these counts are all that a test of one feature needs; the cost of
reading them grows with the number of distinct values, not of rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, func, literal_column, select

from db.ids import lowest_id_of_ms, timestamp_ms
from db.rollups.dirty_buckets import FIVE_MINUTES, WIDTHS
from db.schema import dirty_buckets, predictions, rollups
from pipeline.schema import BY_NAME, FEATURES, Kind

MAX_PENDING_ROWS = 5_000
"""Newest rows read that are in no rollup yet."""

SMALL_WINDOW = 5_000
"""A window with at most so many rows is counted from rows, even if rolled up."""

MAX_GAPS = 20
"""Separate ranges of pending rows that are read; each costs a few milliseconds."""

MISSING = -32_768
"""Stands for an unknown value: a key cannot be NULL."""

_PREDICTION, _PERCENT = "prediction", "percent"

COUNTED = (*BY_NAME, _PREDICTION, _PERCENT)
"""What is counted: the features; the predictions; the probabilities to the nearest 0.01."""

_CODES = [f.name for f in FEATURES if f.kind is not Kind.NUMBER]
_MEASURED = [f.name for f in FEATURES if f.kind is Kind.NUMBER]
_GROUPS: tuple[Sequence[ColumnElement[Any]], ...] = (
    # All codes in one query: they have few combinations, and one sort is cheaper than nine.
    [predictions.c[name] for name in (_PREDICTION, *_CODES)],
    *[[predictions.c[name]] for name in _MEASURED],
    [func.round(predictions.c.probability * literal_column("100")).label(_PERCENT)],
)

Condition = ColumnElement[bool]


class CountKey(NamedTuple):
    """What a row of the rollups counts; the value in whole steps."""

    feature: str
    source: str
    model_version: str
    value: int


@dataclass(frozen=True)
class ValueCounts:
    """How often each value occurred among `n` predictions."""

    n: int
    n_positive: int
    values: Mapping[str, Mapping[float | None, int]]
    """Feature -> value, rounded to `Feature.step` -> count; None = unknown."""
    probability: tuple[int, ...]
    """101 counts: of probabilities nearest to 0.00, 0.01, ... 1.00."""
    exact: bool
    """False when more rows are pending than are read here; of those, only the newest count."""


def count_rows(connection: Connection, *conditions: Condition) -> Counter[CountKey]:
    """Count the values of the predictions that meet the conditions.

    The database counts: it does so without Python's lock, which the API's event loop needs. Sorting
    by the value first is three times as fast as by the source, whose strings are mostly equal.
    """
    counted: Counter[CountKey] = Counter()
    owner = (predictions.c.source, predictions.c.model_version)
    for columns in _GROUPS:
        wanted = select(*columns, *owner, func.count()).where(*conditions)
        for *values, source, version, count in connection.execute(
            wanted.group_by(*columns, *owner)
        ):
            for column, value in zip(columns, values, strict=True):
                name = str(column.key)
                counted[CountKey(name, source, version, _in_steps(name, value))] += count
    return counted


def _in_steps(name: str, value: float | None) -> int:
    if value is None:
        return MISSING
    return BY_NAME[name].to_steps(value) if name in BY_NAME else int(value)


def in_window(start_ms: int, end_ms: int) -> tuple[Condition, Condition]:
    """Express a window, in milliseconds since 1970, as a range of ids."""
    ids = predictions.c.id
    return ids >= lowest_id_of_ms(start_ms), ids < lowest_id_of_ms(end_ms)


def rollups_in(width_s: int, start_s: int, end_s: int) -> tuple[Condition, ...]:
    """Select the rollups of a window, in the form that their key serves."""
    c = rollups.c
    return c.width_s == width_s, c.feature.in_(COUNTED), c.bucket >= start_s, c.bucket < end_s


class WindowPlan(NamedTuple):
    """How a window is counted; all times in milliseconds since 1970."""

    rolled_up: list[tuple[int, int, int]]
    """Width in s, start, end: whole buckets whose rollups are current."""
    partial: list[tuple[int, int]]
    """Parts of such buckets."""
    pending: list[tuple[int, int]]
    """Ranges with rows that are in no rollup yet, oldest first, not adjacent."""


def plan_window(start: int, end: int, marked: Collection[tuple[int, int]]) -> WindowPlan:
    """Cover a window with the widest buckets that fit and are not dirty, as (width, bucket).

    A bucket counts as dirty when a narrower one inside it is.
    """
    rolled, rest = [], [(start, end)] if start < end else []
    for width in reversed(WIDTHS):
        unsure = {at // width * width for narrow, at in marked if narrow <= width}
        blocked = sorted(bucket * 1000 for bucket in unsure)
        pieces, rest = rest, []
        for piece in pieces:
            whole, parts = _split(piece, width * 1000, blocked)
            rolled += [(width, *part) for part in whole]
            rest += parts
    waiting = {at for width, at in marked if width == FIVE_MINUTES}
    tail = [p for p in rest if p[0] // 1000 // FIVE_MINUTES * FIVE_MINUTES in waiting]
    return WindowPlan(rolled, [p for p in rest if p not in tail], _joined(tail))


def _split(
    piece: tuple[int, int], width: int, blocked: Sequence[int]
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Split a piece into runs of whole buckets that are not blocked, and the rest."""
    start, end = piece
    low, high = -(-start // width) * width, end // width * width
    if low >= high:
        return [], [piece]
    holes = [at for at in blocked if low <= at < high]
    cuts = [low, *(cut for at in holes for cut in (at, at + width)), high]
    runs = [(a, b) for a, b in zip(cuts[::2], cuts[1::2], strict=True) if a < b]
    parts = [(start, low), *((at, at + width) for at in holes), (high, end)]
    return runs, [(a, b) for a, b in parts if a < b]


def _joined(pieces: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end in sorted(pieces):
        if joined and joined[-1][1] == start:
            joined[-1] = joined[-1][0], end
        else:
            joined.append((start, end))
    return joined


def count_window(
    connection: Connection, start: int, end: int, owner: Mapping[str, str | None]
) -> ValueCounts:
    """Count a window (milliseconds since 1970) of one source and model version, or of all.

    The connection must show one state of the database throughout.
    """
    wanted = {name: value for name, value in owner.items() if value is not None}
    of_rows = [predictions.c[name] == value for name, value in wanted.items()]
    of_rollups = [rollups.c[name] == value for name, value in wanted.items()]
    counted: Counter[tuple[str, int]] = Counter()
    if _is_small(connection, start, end, wanted.get("source")):
        _add(counted, count_rows(connection, *in_window(start, end), *of_rows))
        return _counts(counted, exact=True)
    marked = {(width, at) for width, at, _ in connection.execute(select(dirty_buckets))}
    rolled, edges, tail = plan_window(start, end, marked)

    for piece in edges:
        _add(counted, count_rows(connection, *in_window(*piece), *of_rows))
    unread = _count_tail(connection, tail, of_rows, counted)
    for width, first, last in [*rolled, *unread]:
        chosen = (*rollups_in(width, first // 1000, last // 1000), *of_rollups)
        keys = rollups.c.feature, rollups.c.value
        sums = select(*keys, func.sum(rollups.c.count)).where(*chosen).group_by(*keys)
        for feature, value, count in connection.execute(sums):
            counted[feature, value] += int(count)
    return _counts(counted, exact=not unread)


def _is_small(connection: Connection, start: int, end: int, source: str | None) -> bool:
    """Return whether a window has so few rows that reading them costs less than their rollups.

    Reads at most `SMALL_WINDOW` entries of an index. The rollups of a thin log are larger than its
    rows, and many of its buckets may be pending, each apart from the next.
    """
    where = list(in_window(start, end))
    if source is not None:
        where.append(predictions.c.source == source)
    ids = select(predictions.c.id).where(*where).order_by(predictions.c.id)
    return connection.scalar(ids.offset(SMALL_WINDOW).limit(1)) is None


def predictions_by_step(
    connection: Connection, start_s: float, end_s: float, step_s: float, source: str | None
) -> Mapping[int, Counter[int]]:
    """Count the predictions of each step of a window by their value, 0 or 1, from the rollups.

    Leaves out steps whose rollups are not current, and all where no bucket fits into the steps.
    """
    width = max((w for w in WIDTHS if start_s % w == step_s % w == 0), default=0)
    if not width:
        return {}
    marked = dirty_buckets.c
    is_dirty = marked.width_s <= width, marked.bucket >= start_s, marked.bucket < end_s
    marks = connection.scalars(select(marked.bucket).where(*is_dirty).distinct())
    dirty = {int((bucket - start_s) // step_s) for bucket in marks}
    c = rollups.c
    where = [c.width_s == width, c.feature == _PREDICTION, c.bucket >= start_s, c.bucket < end_s]
    if source is not None:
        where.append(c.source == source)
    counts = select(c.bucket, c.value, func.sum(c.count)).where(*where).group_by(c.bucket, c.value)
    steps = set(range(int((end_s - start_s) // step_s))) - dirty
    found = {step: Counter[int]() for step in steps}
    for bucket, value, count in connection.execute(counts):
        if (step := int((bucket - start_s) // step_s)) in found:
            found[step][value] += int(count)
    return found


def _count_tail(
    connection: Connection,
    tail: Sequence[tuple[int, int]],
    of_rows: Sequence[Condition],
    counted: Counter[tuple[str, int]],
) -> list[tuple[int, int, int]]:
    """Count the newest pending rows; return the buckets left out, whose old rollups are used."""
    left, ids = MAX_PENDING_ROWS, predictions.c.id
    for number, (start, end) in enumerate(reversed(tail)):
        older = [(FIVE_MINUTES, *piece) for piece in tail[: len(tail) - number]]
        if number == MAX_GAPS:
            return older
        where = [*in_window(start, end), *of_rows]
        newest_first = select(ids).where(*where).order_by(ids.desc())
        too_old = connection.scalar(newest_first.offset(left).limit(1))
        if too_old is not None:
            where.append(ids > too_old)
        found = count_rows(connection, *where)
        _add(counted, found)
        left -= sum(count for key, count in found.items() if key.feature == _PREDICTION)
        if too_old is not None:
            cut = timestamp_ms(too_old) // 1000 // FIVE_MINUTES * FIVE_MINUTES * 1000
            return [*older[:-1], (FIVE_MINUTES, start, cut)]
    return []


def _add(counted: Counter[tuple[str, int]], found: Counter[CountKey]) -> None:
    for key, count in found.items():
        counted[key.feature, key.value] += count


def _counts(counted: Counter[tuple[str, int]], *, exact: bool) -> ValueCounts:
    values: dict[str, dict[float | None, int]] = {name: {} for name in BY_NAME}
    for (name, steps), count in sorted(counted.items()):
        if name in BY_NAME:
            values[name][None if steps == MISSING else BY_NAME[name].from_steps(steps)] = count
    positive, negative = counted[_PREDICTION, 1], counted[_PREDICTION, 0]
    n = positive + negative
    for of_feature in values.values():  # rollups of before a feature do not count it
        if uncounted := n - sum(of_feature.values()):
            of_feature[None] = of_feature.get(None, 0) + uncounted
    return ValueCounts(
        n=n,
        n_positive=positive,
        values=values,
        probability=tuple(counted[_PERCENT, percent] for percent in range(101)),
        exact=exact,
    )
