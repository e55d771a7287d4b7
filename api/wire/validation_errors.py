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
from typing import Any

from api.wire.problems import FieldError, Problem
from api.wire.strict_json import UNREADABLE, parse
from pipeline.dataset.heart import Coding, decoder
from pipeline.schema import BY_NAME, FEATURES, NAMES, Feature, Kind

REFERENCE = r"^[!-~]([ -~]{0,62}[!-~])?\Z"
REFERENCE_IN_WORDS = "1 to 64 printable ASCII characters, no space at either end"
"""What names a patient, in the header and in an item of a batch."""


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


_CODED = " or ".join(f"?coding={coding}" for coding in Coding if coding is not Coding.LABELS)


@cache  # a flood of rejected requests must not cost more than good ones
def _words(name: str, coding: Coding) -> str:
    feature = BY_NAME[name]
    return describe_allowed(feature, coding) + ("" if feature.required else ", or null if unknown")


@cache
def _table(name: str, coding: Coding) -> tuple[Mapping[Any, float | None], frozenset[type]]:
    """Return what a feature's values are looked up in (empty for a number), and their types."""
    table = decoder(BY_NAME[name], coding) or {}
    types = frozenset(map(type, table))
    return table, types if types and int not in types else frozenset([int, float])


def _fault(feature: Feature, value: Any, coding: Coding) -> tuple[str, str] | None:
    """Return what is wrong with a value ({} = what is accepted), and the reason's code, if any."""
    table, types = _table(feature.name, coding)
    if value is None:
        return ("required; send {}", "missing") if feature.required else None
    if type(value) in types and (value in table if table else feature.low <= value <= feature.high):
        return None
    if type(value) in (int, float):
        return _wrong_number(feature, value, table, types)
    if type(value) in types:
        return "not a known value; send {}", "unknown_value"
    return ("wrong type; send {}" if table else "not a number; send {}"), "wrong_type"


def _wrong_number(
    feature: Feature, value: float, table: Mapping[Any, float | None], types: frozenset[type]
) -> tuple[str, str]:
    if int not in types:
        message = "an integer code means different things in different files; send {}, or name "
        return f"{message}the coding with {_CODED}", "no_coding"
    if table:
        if math.isfinite(value) and value != int(value):
            return "not a whole number; send {}", "fraction"
        return "not a known value; send {}", "unknown_value"
    if value == 0 and feature.zero_is_missing:
        return "0 is not a valid measurement; send null if unknown, otherwise {}", "zero"
    other = feature.unit_hint
    if other is not None and other.low <= value <= other.high:
        return f"{other.message}; send {{}}", "unit"
    return "outside the plausible range; send {}", "range"


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
    for feature in FEATURES:
        if fault := _fault(feature, patient.get(feature.name), coding):
            message = fault[0].format(_words(feature.name, coding))
            errors.append(FieldError(feature.name, message, fault[1]))
    return errors


def patient_errors(body: bytes, coding: Coding) -> list[FieldError]:
    """List what is wrong with a body that should be one patient; never empty."""
    try:
        return _errors_of(parse(body), coding) or [UNREADABLE]
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
