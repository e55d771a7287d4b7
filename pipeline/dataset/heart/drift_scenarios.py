"""Ways in which a hospital's patients or its records change: what drift tests are measured on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.dataset.heart.csv_reader import read_patients
from pipeline.dataset.heart.plausibility import HEART_CSV
from pipeline.dataset.synthetic import smoothed_bootstrap
from pipeline.dataset.table import DataError
from pipeline.model.design_matrix import Array
from pipeline.schema import FEATURES, NAMES

Random = np.random.Generator

_POOL = 5_000  # patients from whom a changed mix is drawn again: ties in weights do not matter


@dataclass(frozen=True)
class Scenario:
    """One kind of change."""

    name: str
    description: str
    """For people: what happens to the window."""
    changed: frozenset[str]
    """Features whose own distribution changes; empty when only their relations do."""
    changed_relations: frozenset[str]
    """Features whose relations to others change."""
    draw: Callable[[PatientSource, int, Random], Array]


@dataclass(frozen=True)
class PatientSource:
    """Real patients to draw from, with the later-known truth."""

    rows: Array
    """Shape (m, 13), UCI codes, NaN = missing."""
    disease: Array
    """0.0 or 1.0, shape (m,)."""

    def draw(self, n: int, random: Random) -> Array:
        """Draw patients of an unchanged world."""
        return smoothed_bootstrap(self.rows, n, seed=int(random.integers(2**31)))

    def draw_weighted(self, weights: Array, n: int, random: Random) -> Array:
        """Draw patients of a world in which some kinds of patient are more frequent."""
        chosen = random.choice(len(self.rows), _POOL, p=weights / weights.sum())
        return smoothed_bootstrap(self.rows[chosen], n, seed=int(random.integers(2**31)))


def training_source() -> PatientSource:
    """Return the patients that come with the code."""
    patients = read_patients(HEART_CSV)
    if patients.features is None or patients.disease is None:
        raise DataError(f"{HEART_CSV.name} has no coding or no label")
    return PatientSource(patients.features.to_numpy(float), patients.disease.to_numpy(float))


Edit = Callable[[Array, PatientSource, Random], Array]
"""Changes one column: values of the window, the source, a generator -> new values."""


def _edited(name: str, feature: str, what: str, edit: Edit, *, alone: bool = False) -> Scenario:
    """Change one column of otherwise unchanged patients."""
    i = NAMES.index(feature)
    width = FEATURES[i].step

    def draw(source: PatientSource, n: int, random: Random) -> Array:
        rows = source.draw(n, random)
        rows[:, i] = np.round(np.round(edit(rows[:, i].copy(), source, random) / width) * width, 6)
        return rows

    own = frozenset() if alone else frozenset([feature])
    return Scenario(name, what, own, frozenset([feature]), draw)


def _mixed(name: str, what: str, weights: Callable[[PatientSource], Array]) -> Scenario:
    """Change which patients come; every feature may change with them."""

    def draw(source: PatientSource, n: int, random: Random) -> Array:
        return source.draw_weighted(weights(source), n, random)

    return Scenario(name, what, frozenset(NAMES), frozenset(NAMES), draw)


def _sd(source: PatientSource, feature: str) -> float:
    return float(np.nanstd(source.rows[:, NAMES.index(feature)]))


def _moved(feature: str, sds: float) -> Edit:
    return lambda x, source, random: x + sds * _sd(source, feature)


def _some(share: float, change: Callable[[Array], Array]) -> Edit:
    def edit(x: Array, source: PatientSource, random: Random) -> Array:
        return np.asarray(np.where(random.random(len(x)) < share, change(x), x))

    return edit


def _shuffled(x: Array, source: PatientSource, random: Random) -> Array:
    return np.asarray(random.permutation(x))


def _spread(factor: float) -> Edit:
    def edit(x: Array, source: PatientSource, random: Random) -> Array:
        middle = np.nanmean(x)
        return np.asarray(middle + factor * (x - middle))

    return edit


def _prevalence(share: float) -> Callable[[PatientSource], Array]:
    def weights(source: PatientSource) -> Array:
        now = source.disease.mean()
        return np.asarray(np.where(source.disease == 1, share / now, (1 - share) / (1 - now)))

    return weights


def _older(source: PatientSource) -> Array:
    age = source.rows[:, NAMES.index("age")]
    return np.asarray(np.exp(0.6 * (age - age.mean()) / age.std()))


def _swapped(a: float, b: float) -> Edit:
    def edit(x: Array, source: PatientSource, random: Random) -> Array:
        return np.asarray(np.where(x == a, b, np.where(x == b, a, x)))

    return edit


def _noisy(feature: str, sds: float) -> Edit:
    return lambda x, source, random: x + random.normal(0, sds * _sd(source, feature), len(x))


def _sicker_men(source: PatientSource) -> Array:
    men = source.rows[:, NAMES.index("sex")] == 1
    return np.asarray(np.where(men & (source.disease == 1), 2.0, 1.0))


def _everything_a_little(source: PatientSource, n: int, random: Random) -> Array:
    rows = source.draw(n, random)
    for name, sign in _WORSE.items():
        i = NAMES.index(name)
        moved = rows[:, i] + sign * 0.25 * _sd(source, name)
        rows[:, i] = np.round(np.round(moved / FEATURES[i].step) * FEATURES[i].step, 6)
    return rows


def _related_missing(source: PatientSource, n: int, random: Random) -> Array:
    """Lose the exercise test of a tenth of the patients: four findings at once."""
    rows = source.draw(n, random)
    lost = random.random(n) < 0.1
    for name in _EXERCISE:
        rows[lost, NAMES.index(name)] = np.nan
    return rows


_WORSE = {"age": 1, "trestbps": 1, "chol": 1, "thalach": -1, "oldpeak": 1}
_EXERCISE = ("thalach", "exang", "oldpeak", "slope")

NO_DRIFT, RANDOM_HALVES = "clean", "real half against half"
"""Windows in which nothing has changed: drawn, and split from the real patients."""

HELD_OUT = ("lower chol", "more sugar", "lost ECGs", "noise", "code mix-up", "sicker men")
"""Names of the scenarios of which no window was looked at before the table was made."""

DEVELOPMENT_SCENARIOS = ("shift", "prevalence", "correlation", "missing", "unit", "mix")
"""Names of the scenarios on which detectors were compared before this one was built."""

SCENARIOS: tuple[Scenario, ...] = (
    _edited("shift", "thalach", "thalach 0.5 SD lower", _moved("thalach", -0.5)),
    _edited(
        "prevalence", "exang", "exang 33 % -> 50 %", _some(0.25, lambda x: np.where(x == 0, 1.0, x))
    ),
    _edited("correlation", "thalach", "thalach shuffled between patients", _shuffled, alone=True),
    _edited("missing", "chol", "10 % more of chol missing", _some(0.1, lambda x: x * np.nan)),
    _edited("unit", "chol", "10 % of chol in mmol/l", _some(0.1, lambda x: x / 38.67)),
    _mixed("mix", "disease 46 % -> 70 %", _prevalence(0.70)),
    _edited("shift of trestbps", "trestbps", "trestbps 0.4 SD higher", _moved("trestbps", 0.4)),
    _edited("shift of age", "age", "age 0.6 SD higher, nothing else", _moved("age", 0.6)),
    _edited("spread", "chol", "chol spread 1.6 times as wide", _spread(1.6)),
    _edited("narrow", "thalach", "thalach spread 0.6 times as wide", _spread(0.6)),
    _edited("heaping", "trestbps", "trestbps rounded to tens", lambda x, s, r: np.round(x, -1)),
    _edited("ceiling", "thalach", "thalach never above 160", lambda x, s, r: np.minimum(x, 160)),
    _edited("zeros", "oldpeak", "20 % of oldpeak written as 0", _some(0.2, lambda x: x * 0)),
    _edited(
        "tenfold", "oldpeak", "5 % of oldpeak ten times too large", _some(0.05, lambda x: x * 10)
    ),
    _edited("new level", "slope", "5 % of slope with a new code", _some(0.05, lambda x: x * 0 + 4)),
    _edited("swap", "cp", "cp: typical and atypical angina swapped", _swapped(1, 2)),
    _edited("sex", "sex", "30 % of the men recorded as women", _some(0.3, lambda x: x * 0)),
    _edited(
        "vessels", "ca", "30 % of ca read one higher", _some(0.3, lambda x: np.minimum(x + 1, 3))
    ),
    _edited("unrelated oldpeak", "oldpeak", "oldpeak shuffled", _shuffled, alone=True),
    _edited("unrelated cp", "cp", "cp shuffled", _shuffled, alone=True),
    _edited("all missing", "thal", "thal always missing", lambda x, s, r: x * np.nan),
    Scenario(
        "lost exercise tests",
        "10 % without thalach, exang, oldpeak and slope",
        frozenset(_EXERCISE),
        frozenset(_EXERCISE),
        _related_missing,
    ),
    Scenario(
        "everything a little",
        "five numbers 0.25 SD worse",
        frozenset(_WORSE),
        frozenset(_WORSE),
        _everything_a_little,
    ),
    _mixed("older", "older patients: mean age about 5 years higher", _older),
    _mixed("healthier", "disease 46 % -> 25 %", _prevalence(0.25)),
    _edited("lower chol", "chol", "chol 0.4 SD lower", _moved("chol", -0.4)),
    _edited("more sugar", "fbs", "15 % of fbs recorded as high", _some(0.15, lambda x: x * 0 + 1)),
    _edited("lost ECGs", "restecg", "15 % of restecg missing", _some(0.15, lambda x: x * np.nan)),
    _edited("noise", "trestbps", "trestbps with an error of 0.8 SD", _noisy("trestbps", 0.8)),
    _edited(
        "code mix-up",
        "thal",
        "30 % of reversible thal defects recorded as fixed",
        _some(0.3, lambda x: np.where(x == 7, 6.0, x)),
    ),
    _mixed("sicker men", "ill men twice as frequent", _sicker_men),
)

_BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


def scenario_by_name(name: str) -> Scenario:
    """Find a scenario; the clean one has no change."""
    if name in (NO_DRIFT, RANDOM_HALVES):
        return Scenario(name, "nothing", frozenset(), frozenset(), PatientSource.draw)
    return _BY_NAME[name]
