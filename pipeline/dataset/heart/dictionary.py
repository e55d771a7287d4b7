"""The data dictionary as Markdown, from the schema."""

from __future__ import annotations

from pipeline.dataset.heart.codings import KAGGLE_TO_UCI
from pipeline.schema import FEATURES, TARGET, Feature, Kind

_HEAD = f"""# Data dictionary

Written by `DICTIONARY=write pytest tests/test_docs.py` from `pipeline/schema.py`; a test fails when
it is not current. The thirteen findings are those of the UCI Heart Disease data; the label
`{TARGET}` is 1 when a coronary artery is narrowed by more than 50 %, else 0. `age` and `sex` are
required; every other finding may be unknown (null).

Values outside the *plausible* range are rejected. Values outside the *usual* range are accepted
with a warning, as are values outside the training data's own range.

| name | finding | unit | plausible | usual | coded as |
|---|---|---|---|---|---|
"""

_KAGGLE = """
## Kaggle codes

The popular `heart.csv` writes some categories with other integers, and its label is inverted:
`target = 1` means *no* disease. An integer code is therefore accepted only with its coding named
(`?coding=uci` or `?coding=kaggle`); words need none.

| column | Kaggle code = UCI code |
|---|---|
"""


def _range(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return ""
    return f"{'' if low is None else f'{low:g}'} to {'' if high is None else f'{high:g}'}".strip()


def _usual(feature: Feature) -> str:
    if feature.name == "thalach":
        return "up to 220 - age + 36"
    return _range(feature.usual_low, feature.usual_high)


def _codes(feature: Feature) -> str:
    if feature.kind is Kind.COUNT:
        return "the count"
    return ", ".join(f"{code} = {word}" for word, code in feature.codes.items())


def _line(feature: Feature) -> str:
    finding = f"{feature.label}. {feature.help}".strip().removesuffix(".")
    plausible = _range(feature.low, feature.high) if feature.is_numeric else ""
    cells = (f"`{feature.name}`", finding, feature.unit, plausible, _usual(feature))
    return f"| {' | '.join(cells)} | {_codes(feature)} |\n"


def _kaggle_line(name: str) -> str:
    pairs = sorted(KAGGLE_TO_UCI[name].items())
    text = ", ".join(f"{code} = {'missing' if uci is None else uci}" for code, uci in pairs)
    return f"| `{name}` | {text} |\n"


def markdown() -> str:
    """Return the whole page."""
    features = "".join(_line(feature) for feature in FEATURES)
    return _HEAD + features + _KAGGLE + "".join(_kaggle_line(name) for name in KAGGLE_TO_UCI)
