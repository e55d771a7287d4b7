"""The query string of the calls that predict; unknown and doubled keys are refused."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple
from urllib.parse import parse_qsl

from api.wire.problems import FieldError, invalid
from db.schema import SOURCES
from pipeline.dataset.heart.codings import Coding


class PredictQuery(NamedTuple):
    """How to read the body, whether to explain, and where the request comes from."""

    coding: Coding
    explain: bool
    source: str


_VALUES: dict[str, dict[str, object]] = {
    "coding": {str(coding): coding for coding in Coding},
    "explain": {"true": True, "false": False},
    "source": {source: source for source in SOURCES},
}

PREDICT = frozenset(_VALUES)
BATCH = PREDICT - {"explain"}

PARAMETERS_MAX = 10
"""More than any call takes; a longer query is not taken apart."""


def _error(key: str, allowed: frozenset[str]) -> FieldError:
    if key not in allowed:
        message = f"a query parameter that is not known; allowed: {', '.join(sorted(allowed))}"
        return FieldError("query", message, "unknown_parameter")
    values = ", ".join(_VALUES[key])
    return FieldError(key, f"not a known value, or given twice; send one of {values}", "query")


def predict_query(query: bytes, allowed: frozenset[str] = PREDICT) -> PredictQuery:
    """Read `coding`, `explain` and `source`, as far as they are allowed.

    Raises
    ------
    Problem
        422 for anything else.
    """
    read = _read(query, allowed)
    if isinstance(read, PredictQuery):
        return read
    raise invalid(read)


@lru_cache(maxsize=256)  # what is wrong, too: a flood of refusals must not cost more than answers
def _read(query: bytes, allowed: frozenset[str]) -> PredictQuery | list[FieldError]:
    try:
        pairs = parse_qsl(
            query.decode("ascii"), keep_blank_values=True, max_num_fields=PARAMETERS_MAX
        )
    except (ValueError, UnicodeDecodeError):
        return [FieldError("query", "cannot be read; send ?name=value&...", "query")]
    chosen: dict[str, object] = {}
    errors = []
    for key, text in pairs:
        if key not in allowed or text not in _VALUES[key] or key in chosen:
            errors.append(_error(key, allowed))
        else:
            chosen[key] = _VALUES[key][text]
    if errors:
        return errors
    return PredictQuery(
        Coding(str(chosen.get("coding", Coding.LABELS))),
        bool(chosen.get("explain", False)),
        str(chosen.get("source", "live")),
    )


def source_of(query: bytes) -> str:
    """Return the source that a refused request named, if it named one; for counting only."""
    read = _read(query, PREDICT)
    return read.source if isinstance(read, PredictQuery) else "live"
