"""Find each feature's column and the labels' in the header of a file, and say what is missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pipeline.dataset.heart.columns import NAMES_OF, nearest, plain
from pipeline.dataset.heart.mapping import ColumnMapping, propose, start_of
from pipeline.dataset.table import DataError, RawTable
from pipeline.schema import FEATURES, NAMES, TARGET

LEAST_NAMES = len(NAMES) // 2 + 1
"""Of its columns that make a line a header."""


def name_finder(mapping: ColumnMapping) -> Callable[[str], str | None]:
    """Return what gives the column that a title names; None for a column that is not used."""

    def name_of(title: str) -> str | None:
        if title.lower() in mapping.columns:
            return mapping.columns[title.lower()] or None
        return NAMES_OF.get(plain(title))

    return name_of


def find_columns(
    header: Sequence[str], name_of: Callable[[str], str | None], mapping: ColumnMapping
) -> tuple[dict[str, int], list[int], list[str]]:
    """Find the column of each feature and those of labels, and say what is made of the others."""
    columns: dict[str, int] = {}
    labels, unused = [], []
    used = {title for table in mapping.one_hot.values() for title in table}
    for i, title in enumerate(header):
        name = name_of(title)
        if name is None:
            unused += [title] if title and title.lower() not in used else []
        elif name == TARGET:
            labels.append(i)
        elif name in columns:
            raise DataError(
                f"two columns hold {name}, {header[columns[name]]} and {title}; leave one out with "
                f"--mapping: {start_of(columns={title: ''})}"
            )
        else:
            columns[name] = i
    absent = [name for name in NAMES if name not in columns and name not in mapping.one_hot]
    required = [feature.name for feature in FEATURES if feature.required]
    one_hot = _one_hot_start(absent, unused)
    if set(required) & set(absent) or len(absent) >= LEAST_NAMES or one_hot:
        raise DataError(_not_found(absent, unused, one_hot))
    notes = []
    renamed = [f"{header[i]} = {n}" for n, i in columns.items() if plain(header[i]) != n]
    if renamed:
        notes.append(f"columns read under another name: {', '.join(renamed)}")
    if unused:
        notes.append(f"columns not used: {', '.join(unused)}")
    alike = _alike(absent, unused)
    if alike:
        notes.append(f"columns that may be absent ones; --mapping begins {start_of(columns=alike)}")
    return columns, labels, notes


def _alike(absent: Sequence[str], unused: Sequence[str]) -> dict[str, str]:
    """Return the unused titles that resemble absent columns, and those columns."""
    found = {title: nearest(title) for title in unused[:40]}
    return {title: name for title, name in found.items() if name is not None and name in absent}


def _one_hot_start(absent: Sequence[str], unused: Sequence[str]) -> dict[str, dict[str, str]]:
    """Propose what titles such as `cp_0` mean, where they stand for an absent column."""
    levels: dict[str, dict[str, str]] = {}
    for title in unused:
        stem, _, level = title.rpartition("_")
        name = NAMES_OF.get(plain(stem))
        if name in absent and name is not None:
            levels.setdefault(name, {})[title] = level
    return {
        name: {title: propose(name, list(table.values()))[level] for title, level in table.items()}
        for name, table in levels.items()
    }


def _not_found(
    absent: Sequence[str], unused: Sequence[str], one_hot: Mapping[str, Mapping[str, str]]
) -> str:
    """Name the columns that are absent, and begin a mapping of those that may be they."""
    taken = {title for table in one_hot.values() for title in table}
    columns = _alike(absent, [title for title in unused if title not in taken])
    if not columns and not one_hot:
        columns = {"TITLE": absent[0]}
    return (
        f"these are not the thirteen UCI columns; absent: {', '.join(absent)}. Name the columns in "
        f"a file for --mapping, which begins {start_of(columns=columns, one_hot=one_hot)}"
    )


def from_one_hot(
    name: str, titles: Mapping[str, str], header: Sequence[str], table: RawTable
) -> list[str]:
    """Return the word of the one column that is 1 in each row."""
    places = {title.lower(): i for i, title in enumerate(header)}
    unknown = [title for title in titles if title and title not in places]
    if unknown:
        raise DataError(f"there is no column {unknown[0]}, which the mapping has for {name}")
    found = []
    for row, line in zip(table.rows, table.lines, strict=True):
        marked = [t for t in titles if t and row[places[t]].lower() in ("1", "1.0", "true", "yes")]
        if len(marked) > 1:
            raise DataError(f"line {line}: both {marked[0]} and {marked[1]} are 1")
        found.append((titles[marked[0]] if marked else titles.get("", "")).lower())
    return found
