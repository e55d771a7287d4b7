"""A small file that says how to read another file: columns to rename, values to recode.

    {"columns": {"ChestPainType": "cp", "Remarks": ""},
     "values": {"cp": {"ATA": "atypical angina", "unclear": ""}},
     "one_hot": {"slope": {"slope_up": "upsloping", "": "flat"}}}

JSON, or the same as TOML. A column or value that becomes "" is left out or missing; "" as a column
of `one_hot` is the level of rows that have none of the others.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from errors import USAGE, CardiowatchError
from pipeline.dataset.heart.columns import LABEL_WORDS, OTHER_WORDS, YES_NO, word
from pipeline.schema import BY_NAME, NAMES, TARGET, Kind

OPEN = "..."
"""Stands in a proposed mapping where a person has to decide."""


class MappingError(CardiowatchError):
    """The mapping file cannot be used."""

    exit_code = USAGE


@dataclass(frozen=True)
class ColumnMapping:
    """The three tables of a mapping file; titles and cells in small letters."""

    columns: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    one_hot: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def words_of(name: str) -> dict[str, float]:
    """Return the words of a feature or of the label, and the UCI code of each."""
    if name == TARGET:
        return dict(LABEL_WORDS)
    feature = BY_NAME[name]
    words = {word(w): float(code) for w, code in feature.codes.items()}
    words |= OTHER_WORDS.get(name, {})
    return {**words, **YES_NO} if feature.kind is Kind.BOOLEAN else words


def load_mapping(path: Path) -> ColumnMapping:
    """Read a mapping file.

    Raises
    ------
    MappingError
        When it is no such file, or names a column or a word that does not exist.
    """
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise MappingError(f"{path.name} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise MappingError(f"{path.name} is not a mapping file (JSON or TOML): {error}") from error
    return mapping_of(text, path.name)


def mapping_of(text: str, source: str) -> ColumnMapping:
    """Read the text of a mapping file; as `load_mapping`.

    Parameters
    ----------
    text
        JSON; TOML where the source ends in `.toml`.
    source
        What messages call it.
    """
    try:
        read: Any = tomllib.loads(text) if source.endswith(".toml") else json.loads(text)
        tables = {key: dict(read.pop(key, {})) for key in ("columns", "values", "one_hot")}
        if read:
            raise MappingError(
                f"{source}: {next(iter(read))} is not one of columns, values, one_hot"
            )
        columns = {k.strip().lower(): str(v) for k, v in tables["columns"].items()}
        values, one_hot = (
            {
                name: {str(k).strip().lower(): str(v) for k, v in t.items()}
                for name, t in one.items()
            }
            for one in (tables["values"], tables["one_hot"])
        )
    except (ValueError, AttributeError, TypeError) as error:  # what the two parsers raise, too
        raise MappingError(f"{source} is not a mapping file (JSON or TOML): {error}") from error
    for name in (*values, *one_hot, *filter(None, columns.values())):
        if name not in (*NAMES, TARGET):
            raise MappingError(
                f"{source}: {name} is not a column; write one of {', '.join((*NAMES, TARGET))}"
            )
    for name, table in (*values.items(), *one_hot.items()):
        known = words_of(name)
        for target in filter(None, table.values()):
            if known and word(target) not in known:
                raise MappingError(
                    f"{source}: {name} has no value {target!r}; write one of "
                    f"{', '.join(vocabulary(name))}, or nothing for missing"
                )
    return ColumnMapping(columns, values, one_hot)


def vocabulary(name: str) -> list[str]:
    """Return the words to offer for a column."""
    if name == TARGET:
        return ["disease", "no disease"]
    return list(BY_NAME[name].codes) or sorted(words_of(name))


def propose(name: str, cells: Sequence[str]) -> dict[str, str]:
    """Propose a word for each cell where only one word is abbreviated so; `OPEN` elsewhere."""
    left, found = list(vocabulary(name)), dict.fromkeys(cells, OPEN)
    for _ in cells:  # a word that is taken leaves fewer for the others
        for cell in cells:
            fitting = [w for w in left if _abbreviates(cell.lower(), w.lower())]
            if found[cell] == OPEN and len(fitting) == 1:
                found[cell] = fitting[0]
                left.remove(fitting[0])
    return found


def _abbreviates(short: str, long: str) -> bool:
    letters = iter(long)
    return short[:1] == long[:1] and all(letter in letters for letter in short)


def start_of(**tables: Mapping[str, Any]) -> str:
    """Return the beginning of a mapping file, in one line."""
    return json.dumps({key: table for key, table in tables.items() if table})
