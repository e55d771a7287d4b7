"""Recognise measurements that were written in another unit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.schema import BY_NAME

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class AlternativeUnit:
    """A unit that is sometimes used instead, and how its values give themselves away."""

    feature: str
    unit: str
    factor: float
    """Multiply by it to get the expected unit."""
    low: float
    high: float
    """Median of the values outside the limits, when they are of this unit."""


# Ranges: Cleveland's range in the other unit with some room. Where two units overlap (mmol/l and
# g/l of cholesterol) the median decides: 6.2 mmol/l is 2.4 g/l.
ALTERNATIVE_UNITS: tuple[AlternativeUnit, ...] = (
    AlternativeUnit("age", "months", 1 / 12, 216, 1400),
    AlternativeUnit("age", "days", 1 / 365.25, 6500, 44000),
    AlternativeUnit("chol", "g/l", 100, 1, 3.4),
    AlternativeUnit("chol", "mmol/l", 38.67, 3.4, 20),
    AlternativeUnit("trestbps", "kPa", 7.50, 14.5, 40),
    AlternativeUnit("trestbps", "cmHg", 10, 5, 14.5),
    AlternativeUnit("thalach", "beats/s", 60, 0.5, 4.2),
    AlternativeUnit("oldpeak", "0.1 mm or 0.01 mV", 0.1, 10, 65),
)


def find_unit_errors(raw: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """Yield (feature, sentence) for each feature whose implausible values fit another unit.

    Parameters
    ----------
    raw
        The thirteen columns, NaN = missing.
    """
    for name in dict.fromkeys(slip.feature for slip in ALTERNATIVE_UNITS):
        feature = BY_NAME[name]
        values = raw[name].dropna()
        wrong = values[((values < feature.low) | (values > feature.high)) & (values != 0)]
        for slip in ALTERNATIVE_UNITS:
            if slip.feature != name or wrong.empty:
                continue
            if slip.low <= float(wrong.median()) < slip.high:
                yield (
                    name,
                    f"{len(wrong)} values look like {slip.unit}; {feature.unit} is expected "
                    f"(multiply by {slip.factor:.4g})",
                )
                break
