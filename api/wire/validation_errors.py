"""What is wrong with a body, in sentences that name the field, what is allowed and the unit.

Only rejected bodies come here, so it is written to be read, not to be fast. No sentence repeats
what was sent: an error must not become a second copy of a patient.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import msgspec

from api.wire.problems import FieldError, Problem
from api.wire.strict_json import UNREADABLE, parse
from pipeline.dataset.heart.codings import Coding, decoder
from pipeline.schema import BY_NAME, FEATURES, NAMES, Feature, Kind

REFERENCE = r"^[!-~]([ -~]{0,62}[!-~])?\Z"
REFERENCE_IN_WORDS = "1 to 64 printable ASCII characters, no space at either end"
"""What names a patient, in the header and in an item of a batch."""


def _read_patient(body: bytes) -> Any:
    """Parse strictly, but faster where nothing is wrong with the JSON.

    There are at least as many colons as keys were sent; with as many as are left, none was sent
    twice and nothing is nested.
    """
    try:
        sent = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return parse(body)
    flat = type(sent) is dict and body.count(b":") == len(sent)
    return sent if flat else parse(body)


def describe_allowed(feature: Feature, coding: Coding) -> str:
    """Return in words what a feature accepts in a coding."""
    if feature.kind is Kind.NUMBER:
        return f"a number from {feature.low:g} to {feature.high:g} {feature.unit}"
    if coding is Coding.LABELS and feature.kind is Kind.BOOLEAN:
        return "true or false"
    table = decoder(feature, coding) or {}
    if coding is Coding.LABELS and feature.kind is Kind.CATEGORY:
        return "one of " + ", ".join(f'"{word}"' for word in table)
    codes = ", ".join(str(code) for code in sorted(table))
    if feature.kind is Kind.COUNT:
        return f"a whole number of {feature.unit}: {codes}"
    return f"one of the {coding} codes {codes}"


class _Expected(NamedTuple):
    """What a feature accepts in a coding."""

    name: str
    required: bool
    words: str
    types: frozenset[type]
    table: Mapping[Any, float | None]
    """Its codes; none for a number."""
    low: float
    high: float


_CODED = " or ".join(f"?coding={coding}" for coding in Coding if coding is not Coding.LABELS)


@cache  # a flood of rejected requests must not cost more than good ones
def _expected(coding: Coding) -> tuple[_Expected, ...]:
    return tuple(_expected_of(feature, coding) for feature in FEATURES)


def _expected_of(feature: Feature, coding: Coding) -> _Expected:
    or_null = "" if feature.required else ", or null if unknown"
    words = describe_allowed(feature, coding) + or_null
    in_words = coding is Coding.LABELS
    types: frozenset[type] = (
        frozenset([str]) if in_words and feature.kind is Kind.CATEGORY else
        frozenset([bool]) if in_words and feature.kind is Kind.BOOLEAN else
        frozenset([int, float])
    )  # fmt: skip
    table = decoder(feature, coding) or {}
    return _Expected(feature.name, feature.required, words, types, table, feature.low, feature.high)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _wrong_number(feature: Feature, value: Any, expected: str) -> FieldError:
    if not _is_number(value):
        return FieldError(feature.name, f"not a number; send {expected}", "wrong_type")
    if value == 0 and feature.zero_is_missing:
        message = f"0 is not a valid measurement; send null if unknown, otherwise {expected}"
        return FieldError(feature.name, message, "zero")
    other = feature.unit_hint
    if other is not None and other.low <= value <= other.high:
        return FieldError(feature.name, f"{other.message}; send {expected}", "unit")
    return FieldError(feature.name, f"outside the plausible range; send {expected}", "range")


def _wrong_code(name: str, value: Any, expected: _Expected) -> FieldError:
    if _is_number(value) and int not in expected.types:
        message = (
            "an integer code means different things in different files; "
            f"send {expected.words}, or name the coding with {_CODED}"
        )
        return FieldError(name, message, "no_coding")
    if type(value) not in expected.types:
        return FieldError(name, f"wrong type; send {expected.words}", "wrong_type")
    if isinstance(value, float) and math.isfinite(value) and not value.is_integer():
        message = f"not a whole number; send {expected.words}"
        return FieldError(name, message, "fraction")
    return FieldError(name, f"not a known value; send {expected.words}", "unknown_value")


def _wrong(expected: _Expected, value: Any) -> FieldError:
    """Return what is wrong with a value that is not accepted."""
    if value is None:
        return FieldError(expected.name, f"required; send {expected.words}", "missing")
    if expected.table:
        return _wrong_code(expected.name, value, expected)
    return _wrong_number(BY_NAME[expected.name], value, expected.words)


def _errors_of(
    patient: Any, coding: Coding, others: frozenset[str] = frozenset()
) -> list[FieldError]:
    if not isinstance(patient, dict):
        message = f"not a patient; send a JSON object with the keys {', '.join(NAMES)}"
        return [FieldError("body", message, "malformed")]
    errors = []
    if not patient.keys() <= BY_NAME.keys() | others:
        message = f"unknown key; the keys are {', '.join([*NAMES, *others])}"
        errors.append(FieldError("body", message, "unknown_key"))
    for expected in _expected(coding):
        name, required, _, types, table, low, high = expected
        value = patient.get(name)
        if value is None:
            right = not required
        elif type(value) in types:
            right = value in table if table else low <= value <= high
        else:
            right = False
        if not right:
            errors.append(_wrong(expected, value))
    return errors


def patient_errors(body: bytes, coding: Coding) -> list[FieldError]:
    """List what is wrong with a body that should be one patient; never empty."""
    try:
        return _errors_of(_read_patient(body), coding) or [UNREADABLE]
    except Problem as problem:
        return problem.errors


def batch_errors(body: bytes, coding: Coding, max_batch: int) -> list[FieldError]:
    """List what is wrong with a body that should be an array of patients."""
    try:
        patients = parse(body)
    except Problem as problem:
        return problem.errors
    if not isinstance(patients, list):
        return [FieldError("body", "not an array; send a JSON array of patients", "malformed")]
    if not 0 < len(patients) <= max_batch:
        message = f"holds {len(patients)} patients; send 1 to {max_batch:,}"
        return [FieldError("body", message, "batch_size")]
    return [
        replace(error, index=index)
        for index, patient in enumerate(patients)
        for error in _item_errors(patient, coding)
    ]


def _item_errors(patient: Any, coding: Coding) -> list[FieldError]:
    errors = _errors_of(patient, coding, frozenset({"patient_reference"}))
    reference = patient.get("patient_reference") if isinstance(patient, dict) else None
    if reference is not None and not (
        isinstance(reference, str) and re.search(REFERENCE, reference)
    ):
        errors.append(
            FieldError("body", f"patient_reference takes {REFERENCE_IN_WORDS}", "patient_reference")
        )
    return errors
