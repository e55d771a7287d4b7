"""Under which names published files of the UCI heart-disease data carry their columns and words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches

from pipeline.schema import FEATURES, TARGET

ALIASES: Mapping[str, str] = {
    "age": "age in years, age years, patient age",
    "sex": "gender, sex 1 male 0 female, patient sex",
    "cp": "chest pain type, chest pain, chest, cp type, chestpaintype4",
    "trestbps": "resting bp, resting bp s, rest bp, restbp, bp, trtbps, trestbp, blood pressure, "
    "resting blood pressure, systolic bp",
    "chol": "cholesterol, serum cholesterol, serum cholestoral, cholesterol level, chol mg dl",
    "fbs": "fasting bs, fasting blood sugar, fbs over 120, blood sugar, fasting blood sugar 120",
    "restecg": "resting ecg, rest ecg, resting ecg results, ekg results, ekg, ecg, "
    "resting electrocardiographic results, resting electrocardiogram",
    "thalach": "thalch, thalachh, max hr, max heart rate, maximum heart rate, "
    "max heart rate achieved, maximum heart rate achieved",
    "exang": "exng, exercise angina, exercise induced angina, ex ang, exercise ang",
    "oldpeak": "old peak, st depression, st depression induced by exercise",
    "slope": "slp, st slope, slope of st, slope of peak exercise st segment, "
    "peak exercise st segment",
    "ca": "caa, number of vessels fluro, num major vessels, number of major vessels, "
    "major vessels, vessels, vessels colored by fluoroscopy",
    "thal": "thall, thallium, thalassemia, thallium stress test, thallium test",
    TARGET: "num, target, condition, heart disease, output, ahd, class, diagnosis, label, outcome, "
    "diagnosis of heart disease, heart disease diagnosis, presence of heart disease, goal",
}
"""Name -> other names, small letters and digits only, without units in parentheses."""

OTHER_WORDS: Mapping[str, Mapping[str, float]] = {
    "sex": {"f": 0, "m": 1, "woman": 0, "man": 1, "w": 0},
    "cp": {
        "non anginal": 3, "nonanginal": 3, "nontypical": 2, "typical": 1, "atypical": 2,
        "typ angina": 1, "atyp angina": 2, "asympt": 4, "typical ang": 1, "atypical ang": 2,
    },
    "restecg": {
        "st t abnormality": 1, "st t abnormal": 1, "lv hypertrophy": 2, "left vent hyper": 2,
        "left vent hypertrophy": 2, "st": 1, "lvh": 2,
    },
    "slope": {"up": 1, "down": 3},
    "thal": {"reversable defect": 7, "fixed": 6, "reversable": 7, "reversible": 7},
}  # fmt: skip
"""Words that published files use besides those of the schema."""

YES_NO: Mapping[str, float] = {"yes": 1, "no": 0, "true": 1, "false": 0, "y": 1, "n": 0, "t": 1}
LABEL_WORDS: Mapping[str, float] = {
    **YES_NO, "presence": 1, "absence": 0, "present": 1, "absent": 0, "positive": 1, "negative": 0,
    "disease": 1, "no disease": 0, "heart disease": 1, "no heart disease": 0, "sick": 1,
    "healthy": 0, "diseased": 1, "normal": 0, "<50": 0, ">50 1": 1, "case": 1, "control": 0,
}  # fmt: skip
MISSING = frozenset(
    ["", "?", "na", "n/a", "#n/a", "nan", "null", "none", "unknown", "not known", "missing", ".",
     "-", "--", "<na>", "nil", "not available", "not done", "-9", "-9.0"]
)  # fmt: skip
MISSING_NUMBERS = (-9, -99, -999, -9999, 99, 999, 9999)
"""Numbers that stand for a missing value where no such value is usual."""


def plain(text: str) -> str:
    """Return a title in the form of `ALIASES`, without blanks: `ST_Slope (1-3)` is `stslope`."""
    return re.sub(r"[^a-z0-9]", "", re.sub(r"\(.*?\)|\[.*?\]", "", text.lower()))


def word(cell: str) -> str:
    """Return a cell in the form of the words: small letters, blanks for `-` and `_`."""
    return re.sub(r"[\s_-]+", " ", cell.lower()).strip() or cell.strip()


NAMES_OF: Mapping[str, str] = {
    plain(alias): name
    for name in (*(feature.name for feature in FEATURES), TARGET)
    for alias in (
        name, *(f.label for f in FEATURES if f.name == name), *ALIASES.get(name, "").split(",")
    )
}  # fmt: skip


def nearest(title: str) -> str | None:
    """Return the column that a title resembles; None when it resembles none."""
    close = get_close_matches(plain(title), NAMES_OF, n=1, cutoff=0.7)
    return NAMES_OF[close[0]] if close else None
