"""The thirteen features, declared once; every other list of columns is derived from this table.

The API's decoder and its OpenAPI document, the form, the database columns, the drift tests, the
chart labels and the data dictionary each turn a `Feature` into their own thing with one function.
Codes are those of the original UCI files. Standard library only.

Source: UCI Heart Disease (Janosi, Steinbrunn, Pfisterer, Detrano 1988), doi:10.24432/C52P4X;
the limits are explained in docs/data-dictionary.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from itertools import pairwise
from math import floor, inf
from types import MappingProxyType

TARGET = "disease"
"""Column of the label: 1 = a coronary artery narrowed by more than 50 %, 0 = none."""


class Kind(StrEnum):
    """The kind of values that a feature has."""

    NUMBER = "number"
    """A measurement on a scale, with a unit."""
    COUNT = "count"
    """A whole number from `low` to `high`."""
    BOOLEAN = "boolean"
    """Yes (1) or no (0)."""
    CATEGORY = "category"
    """One of a fixed set of words, each with its UCI code."""


@dataclass(frozen=True)
class UnitHint:
    """A range that suggests another unit, and the message for it."""

    low: float
    high: float
    message: str


@dataclass(frozen=True)
class SecondUnit:
    """A second unit in which a value may be entered; `factor` converts it to the feature's own."""

    unit: str
    factor: float


@dataclass(frozen=True)
class Feature:
    """One column of the data: its words, unit and limits.

    Values below `low` or above `high` are rejected; values outside `usual_low` and `usual_high`
    are accepted with a warning. `step` is the grid to which drift, rollups and charts round.
    `section` is the heading in the form; the features of a section follow each other.
    """

    name: str
    label: str
    kind: Kind
    low: float
    high: float
    unit: str = ""
    step: float = 1.0
    required: bool = False
    usual_low: float | None = None
    usual_high: float | None = None
    codes: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    help: str = ""
    unit_hint: UnitHint | None = None
    second_unit: SecondUnit | None = None
    section: str = ""
    zero_is_missing: bool = False
    sensitive: bool = False
    """Its groups are compared by the fairness assessment: its codes, or the `bands` of a number."""
    bands: tuple[int, ...] = ()
    """Of a sensitive number: where the second and each later group begins."""
    example: float | None = None
    """A value for examples and tests: that of the first patient of the UCI file."""

    @property
    def is_numeric(self) -> bool:
        """True for measurements and counts, which have an order and a distance."""
        return self.kind in (Kind.NUMBER, Kind.COUNT)

    @property
    def title(self) -> str:
        """The label with its unit, as "Cholesterol (mg/dl)"."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    @cached_property
    def values(self) -> tuple[int, ...]:
        """The codes, or the counts from `low` to `high`; empty for measurements."""
        if self.kind is Kind.NUMBER:
            return ()
        return tuple(self.codes.values()) or tuple(range(int(self.low), int(self.high) + 1))

    @cached_property
    def code_labels(self) -> Mapping[int, str]:
        """UCI code -> word; empty for numbers."""
        return {code: word for word, code in self.codes.items()}

    @cached_property
    def groups(self) -> Mapping[int, str]:
        """Of a sensitive feature: its codes, or its bands counted from 0 -> the group in words."""
        if self.bands:
            starts = [int(self.low), *self.bands]
            names = [f"{a}-{b - 1}" for a, b in pairwise(starts)]
            return dict(enumerate([*names, f"{starts[-1]} and over"]))
        if self.kind is Kind.BOOLEAN:  # yes and no say nothing of what
            words = self.code_labels.items()
            return {code: f"{in_a_sentence(self.label)}: {word}" for code, word in words}
        return self.code_labels

    @property
    def told_groups(self) -> list[tuple[int, str]]:
        """The groups that tell of all: those who have it; of other codes, all but the last."""
        groups = list(self.groups.items())
        return groups[1:] if self.kind is Kind.BOOLEAN else groups[:-1]

    def to_steps(self, value: float) -> int:
        """Round a measurement to the grid, in whole `step`s; halves go up, everywhere alike."""
        return floor(value / self.step + 0.5)

    def from_steps(self, steps: int) -> float:
        """Return the value of a number of `step`s, the same float each time."""
        return round(steps * self.step, 6)

    def format_value(self, value: float | None) -> str:
        """Return a stored value in words with its unit; None or NaN is "unknown"."""
        if value is None or value != value:
            return "unknown"
        if self.codes:
            return self.code_labels.get(int(value), "unknown")
        number = f"{value:.10g}"
        return f"{number} {self.unit}" if self.unit else number


def in_a_sentence(label: str) -> str:
    """Return a label as it stands inside a sentence; an abbreviation keeps its capitals."""
    return label if label[:2].isupper() else label[0].lower() + label[1:]


def _codes(**words: int) -> Mapping[str, int]:
    return MappingProxyType(words)


_YES_NO = _codes(no=0, yes=1)

FEATURES: tuple[Feature, ...] = (
    Feature(
        "age",
        "Age",
        Kind.NUMBER,
        18,
        120,
        "years",
        required=True,
        usual_low=28,
        usual_high=77,
        section="Patient",
        example=63,
        sensitive=True,
        bands=(45, 55, 65),
    ),
    Feature(
        "sex",
        "Sex",
        Kind.CATEGORY,
        0,
        1,
        required=True,
        codes=_codes(female=0, male=1),
        section="Patient",
        example=1,
        sensitive=True,
    ),
    Feature(
        "cp",
        "Chest pain",
        Kind.CATEGORY,
        1,
        4,
        codes=MappingProxyType(
            {"typical angina": 1, "atypical angina": 2, "non-anginal pain": 3, "asymptomatic": 4}
        ),
        section="At rest",
        example=1,
    ),
    Feature(
        "trestbps",
        "Resting blood pressure",
        Kind.NUMBER,
        50,
        300,
        "mm Hg",
        usual_low=80,
        usual_high=200,
        help="Systolic, on admission to the hospital.",
        unit_hint=UnitHint(5, 40, "looks like cmHg or kPa; mm Hg is expected"),
        zero_is_missing=True,
        section="At rest",
        example=145,
    ),
    Feature(
        "chol",
        "Serum cholesterol",
        Kind.NUMBER,
        30,
        1000,
        "mg/dl",
        usual_low=100,
        usual_high=578,
        help="Total cholesterol.",
        unit_hint=UnitHint(2, 20, "looks like mmol/l; mg/dl is expected (mmol/l times 38.67)"),
        second_unit=SecondUnit("mmol/l", 38.67),
        zero_is_missing=True,
        section="At rest",
        example=233,
    ),
    Feature(
        "fbs",
        "Fasting blood sugar above 120 mg/dl",
        Kind.BOOLEAN,
        0,
        1,
        codes=_YES_NO,
        section="At rest",
        example=1,
    ),
    Feature(
        "restecg",
        "Resting ECG",
        Kind.CATEGORY,
        0,
        2,
        codes=MappingProxyType(
            {"normal": 0, "ST-T wave abnormality": 1, "left ventricular hypertrophy": 2}
        ),
        help="Left ventricular hypertrophy: probable or definite by Estes' criteria.",
        section="At rest",
        example=2,
    ),
    Feature(
        "thalach",
        "Highest heart rate reached",
        Kind.NUMBER,
        30,
        250,
        "beats/min",
        help="During the exercise test.",
        section="Exercise test",
        example=150,
    ),
    Feature(
        "exang",
        "Chest pain brought on by exercise",
        Kind.BOOLEAN,
        0,
        1,
        codes=_YES_NO,
        section="Exercise test",
        example=0,
    ),
    Feature(
        "oldpeak",
        "ST depression by exercise",
        Kind.NUMBER,
        -5,
        10,
        "mm",
        step=0.1,
        usual_low=0,
        usual_high=6.2,
        help="Relative to rest.",
        section="Exercise test",
        example=2.3,
    ),
    Feature(
        "slope",
        "Slope of the peak exercise ST segment",
        Kind.CATEGORY,
        1,
        3,
        codes=_codes(upsloping=1, flat=2, downsloping=3),
        section="Exercise test",
        example=3,
    ),
    Feature(
        "ca",
        "Major vessels coloured by fluoroscopy",
        Kind.COUNT,
        0,
        3,
        "vessels",
        help="A count from 0 to 3.",
        section="Imaging",
        example=0,
    ),
    Feature(
        "thal",
        "Thallium scan",
        Kind.CATEGORY,
        3,
        7,
        codes=MappingProxyType({"normal": 3, "fixed defect": 6, "reversible defect": 7}),
        help="Thallium scintigraphy of the heart muscle; not thalassemia.",
        section="Imaging",
        example=6,
    ),
)

NAMES: tuple[str, ...] = tuple(feature.name for feature in FEATURES)
BY_NAME: Mapping[str, Feature] = MappingProxyType({f.name: f for f in FEATURES})

SENSITIVE: tuple[Feature, ...] = tuple(
    sorted((f for f in FEATURES if f.sensitive), key=lambda f: bool(f.bands))
)
"""Words first: the order of attributes decides the draws of the bootstrap."""
FIRST_SENSITIVE = ("sex", "age")
"""The attributes of evidence that does not name its own: that of the first edition."""

EXAMPLE: tuple[float | None, ...] = tuple(feature.example for feature in FEATURES)
"""A patient for documents and tests."""

Row = Sequence[float | None]
"""One patient: thirteen UCI-coded values in the order of `FEATURES`; None or NaN = missing."""

_AGE = NAMES.index("age")


def usual_range(feature: Feature, age: float) -> tuple[float | None, float | None]:
    """Return the range outside which a value draws a warning.

    For `thalach` the upper end falls with age: 220 - age is the textbook mean of the highest heart
    rate and 36 is three standard deviations of 12 beats/min (Fox et al. 1971).
    """
    if feature.name == "thalach":
        return None, 220 - age + 36
    return feature.usual_low, feature.usual_high


def _line(feature: Feature) -> tuple[float, float, float]:
    """Return the lower end, the upper end at age 0, and what a year takes from the upper end."""
    low, high = usual_range(feature, 0)
    later = usual_range(feature, 1)[1]
    a_year = 0.0 if high is None or later is None else high - later
    return -inf if low is None else low, inf if high is None else high, a_year


_LINES = tuple((i, *_line(f)) for i, f in enumerate(FEATURES) if f.is_numeric)
"""The usual ranges in the form that scoring compares."""


def range_warnings(row: Row) -> list[tuple[str, str]]:
    """Return the plausible but unusual values of one patient as (feature name, sentence)."""
    age = row[_AGE]
    found: list[tuple[str, str]] = []
    if age is None:
        return found
    for i, low, high, a_year in _LINES:
        value = row[i]
        if value is None:
            continue
        if value < low:
            found.append((NAMES[i], f"unusually low: below {low:g} {FEATURES[i].unit}"))
        elif value > high - a_year * age:
            high -= a_year * age
            found.append((NAMES[i], f"unusually high: above {high:g} {FEATURES[i].unit}"))
    return found
