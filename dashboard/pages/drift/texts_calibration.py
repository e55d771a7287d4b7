"""Texts of the Drift page on the false positive rate and power of its test."""

from __future__ import annotations

import re
from collections.abc import Mapping
from statistics import fmean
from typing import Any

from dashboard.shared.findings import in_a_sentence
from dashboard.shared.numbers import percent
from pipeline.schema import BY_NAME

NOTE = (
    "Measured with the data set that comes with the program, on thousands of simulated windows "
    "with and without drift. An alarm without drift is a false positive; drift without an alarm is "
    "a false negative. docs/drift.md lists each scenario beside other tests."
)
_FEATURE = re.compile(rf"\b({'|'.join(BY_NAME)})\b")
NOT_CALIBRATED = "Not measured yet: run `cardiowatch calibrate`."


def summary(found: Mapping[str, Any]) -> str:
    """Return the highest false positive rate, and mean and lowest power."""
    worst = max(found["clean"], key=lambda row: row["alarms"])
    said = (
        f"False positive rate at most {percent(worst['alarms'], 1)} (upper 95 % limit "
        f"{percent(worst['upper_95'], 1)})."
    )
    for n in sorted({row["n"] for row in found["power"]}):
        rows = [row for row in found["power"] if row["n"] == n]
        least = min(rows, key=lambda row: row["power"])
        said += (
            f" Power with {n} patients: {percent(fmean(r['power'] for r in rows))} on average over "
            f"{len(rows)} drift scenarios, lowest {percent(least['power'])} "
            f"({_with_labels(least['what'])})."
        )
    return said


def _with_labels(scenario: str) -> str:
    """Return the name of a drift scenario with the labels of its features."""
    return _FEATURE.sub(lambda name: in_a_sentence(BY_NAME[name[0]].label), scenario)
