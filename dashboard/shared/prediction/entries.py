"""What a person typed, read as findings: in any locale, never guessed, refused with a sentence.

The browser sends texts; they are read here alone, for the form and for files of patients.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from pipeline.schema import FEATURES, Feature, Kind, range_warnings

Wire = bool | float | str | None
"""A finding in labels, as the API takes it; None = unknown."""

UNKNOWN = "unknown"
BOOLEAN_LABELS: Mapping[str, bool] = MappingProxyType({"yes": True, "no": False})

NOT_A_NUMBER = "Write a number, such as 2.3 or 2,3."
AMBIGUOUS = "Thousands or decimals? Leave out the separator, or write fewer decimals."

_NUMBER = re.compile(r"([+-]?)(\d*)(?:[.,](\d+))?")
_LIKE_THE_POINT = str.maketrans({"\u2212": "-", "\u066b": ".", "\u066c": ","})
"""The true minus; the Arabic decimal and thousands separators."""


def read_number(text: str) -> float:
    """Read a number with a decimal comma or point.

    Raises
    ------
    ValueError
        Its message says what to write: the text is no number, or one separator with three digits
        after it ("1,234", "1.234") may be a thousands separator.
    """
    plain = unicodedata.normalize("NFKC", text).translate(_LIKE_THE_POINT).strip()
    found = _NUMBER.fullmatch(plain)
    if found is None or not (found[2] or found[3]):
        raise ValueError(NOT_A_NUMBER)
    sign, whole, decimals = found[1], found[2], found[3] or ""
    if len(decimals) == 3 and 1 <= len(whole) <= 3 and int(whole[0]) > 0:
        raise ValueError(AMBIGUOUS)
    return float(f"{sign}{whole or 0}.{decimals or 0}")


def write_number(value: float) -> str:
    """Return a number as a text that `read_number` reads as the same number."""
    text = f"{value:.10g}"
    return f"{text}0" if len(text.partition(".")[2]) == 3 else text


def words(feature: Feature) -> tuple[str, ...]:
    """Return the choices of a finding that is not a measurement, without "unknown"."""
    if feature.kind is Kind.COUNT:
        return tuple(str(n) for n in feature.values)
    return tuple(BOOLEAN_LABELS if feature.kind is Kind.BOOLEAN else feature.codes)


def unit_of(feature: Feature) -> str:
    """Return the name of the entry that holds the unit of a finding."""
    return f"{feature.name}_unit"


@dataclass
class Reading:
    """Entries as findings, and what there is to say about single ones, by name."""

    findings: dict[str, Wire] = field(default_factory=dict)
    """The known ones, as the API takes them."""
    refused: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    """Required findings without an entry."""
    unusual: dict[str, str] = field(default_factory=dict)
    converted: dict[str, str] = field(default_factory=dict)
    """The value in the finding's second unit, or in its own if it was entered in the second."""


def read(entries: Mapping[str, str]) -> Reading:
    """Read the entries of one patient; an empty entry or "unknown" is an unknown finding."""
    reading = Reading()
    for feature in FEATURES:
        text = entries.get(feature.name, "").strip()
        if text and text.casefold() != UNKNOWN:
            try:
                reading.findings[feature.name] = _read_one(feature, text, entries, reading)
            except ValueError as refusal:
                reading.refused[feature.name] = str(refusal)
        elif feature.required:
            reading.missing[feature.name] = f"{feature.label} is required."
    reading.unusual |= dict(_unusual(reading.findings))
    return reading


def _read_one(
    feature: Feature, text: str, entries: Mapping[str, str], reading: Reading
) -> bool | float | str:
    if feature.kind is not Kind.NUMBER:
        chosen = next((w for w in words(feature) if w.casefold() == text.casefold()), None)
        if chosen is None:
            raise ValueError(f"Choose one of: {', '.join(words(feature))}.")
        return BOOLEAN_LABELS.get(chosen, chosen) if not feature.is_numeric else float(chosen)
    value, second = read_number(text), feature.second_unit
    if second is None:
        return _within_limits(feature, value)
    if entries.get(unit_of(feature)) != second.unit:
        own = _within_limits(feature, value)
        reading.converted[feature.name] = f"= {own / second.factor:.2f} {second.unit}"
        return own
    own = round(value * second.factor, 1)
    if not feature.low <= own <= feature.high:
        low, high = (limit / second.factor for limit in (feature.low, feature.high))
        why = "Looks like" if feature.low <= value <= feature.high else "Not plausible in"
        named = feature.unit if why == "Looks like" else second.unit
        raise ValueError(f"{why} {named}; {low:.1f} to {high:.1f} {second.unit} is expected.")
    reading.converted[feature.name] = f"= {own:g} {feature.unit}"
    return own


def _within_limits(feature: Feature, value: float) -> float:
    if feature.low <= value <= feature.high:
        return value
    hint = feature.unit_hint
    if value == 0 and feature.zero_is_missing:
        why = "0 is not a measurement"
    elif hint is not None and hint.low <= value <= hint.high:
        why = hint.message[0].upper() + hint.message[1:]
    else:
        why = "Outside the plausible range"
    empty = "" if feature.required else ", or leave it empty if unknown"
    limits = f"enter a value from {feature.low:g} to {feature.high:g} {feature.unit}"
    raise ValueError(f"{why}; {limits}{empty}.")


def _unusual(findings: Mapping[str, Wire]) -> Iterator[tuple[str, str]]:
    numbers = [findings.get(f.name) if f.is_numeric else None for f in FEATURES]
    for name, sentence in range_warnings([None if n is None else float(n) for n in numbers]):
        yield name, f"{sentence[0].upper()}{sentence[1:]}."


def write(findings: Mapping[str, Wire]) -> dict[str, str]:
    """Return the texts that `read` reads as these findings."""
    yes_no = {value: word for word, value in BOOLEAN_LABELS.items()}
    return {
        name: yes_no[value] if isinstance(value, bool)
        else value if isinstance(value, str) else write_number(value)
        for name, value in findings.items()
        if value is not None
    }  # fmt: skip
