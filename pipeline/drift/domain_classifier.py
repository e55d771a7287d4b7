"""Domain classifier (classifier two-sample test), which detects any kind of change.

Patients of the reference are labelled 0 and those of the window 1. Ridge regressions on fixed bases
(a finding's values, its relations to the others, everything together, random trees) predict the
label of each patient from all the others. No basis looks at the labels, so a leave-one-out score is
linear in them: one matrix product scores a thousand relabellings, which give the exact p-value.
Without drift the AUC of five cross-validation folds is 0.5 but for chance. numpy and scipy.special
only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.drift.comparison import Patients, sample_rows
from pipeline.drift.contingency_tables import Array, Integers, to_steps
from pipeline.drift.effect_sizes import ROUNDING_BASE
from pipeline.drift.hypothesis_tests.multivariate import standardised_ranks
from pipeline.drift.hypothesis_tests.null_distributions import gamma_three_moments
from pipeline.drift.hypothesis_tests.permutation import DEFAULT_PERMUTATIONS, draw_labels
from pipeline.drift.repeats import one_row_per_patient
from pipeline.drift.verdict import MIN_PATIENTS
from pipeline.schema import FEATURES, NAMES, Feature, Kind
from pipeline.statistics.metrics import auc

if TYPE_CHECKING:
    import pandas as pd

FOLDS = 5
_BINS = 8  # of a number, by its ranks, each overlapping the next
_TAILS = (0.01, 0.03, 0.1)
_TREES, _DEPTH, _PROJECTED = 200, 4, 256
_ROC_POINTS = 101
_IMPORTANCE_ROWS = 2_000  # patients whose findings are permuted; of more, the first of a shuffle
_BLOCK = 250  # relabellings at once
_WEIGHTS = {"values": 6.0, "relations": 0.5, "all": 2.0, "pairs": 6.0, "trees": 10.0}
"""Of each basis of a kind in the sum of weight / p; docs/drift.md has what they see."""
_RIDGE = 0.3  # penalty, per patient, of a column with variance 1
_Z = 1.959964  # 97.5 % point of the normal distribution

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Importance:
    """Permutation importance of one feature."""

    feature: str
    auc_lost: float
    """Drop in cross-validated AUC when the feature is permuted; 0 or below = not used."""


@dataclass(frozen=True, kw_only=True)
class ClassifierResult:
    """The result of the domain classifier; the defaults are those of too few patients."""

    enough_data: bool
    drift: bool
    p_value: float = 1.0
    """Share of relabellings with at least as much evidence, the true labels among them; exact."""
    alpha: float
    auc: float = 0.5
    """Cross-validated in five folds; 0.5 = no drift, 1 = perfect separation."""
    auc_interval: tuple[float, float] = (0.0, 1.0)
    """95 % interval (DeLong)."""
    roc: tuple[tuple[float, float], ...] = ((0.0, 0.0), (1.0, 1.0))
    """Cross-validated ROC curve: false positive rate, true positive rate."""
    importances: tuple[Importance, ...] = tuple(Importance(name, 0.0) for name in NAMES)
    """The most important first."""
    n_reference: int
    n_current: int
    permutations: int = 0
    seed: int
    reason: str
    """One sentence for people."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can carry."""
        plain = asdict(self)
        plain["auc_interval"] = list(self.auc_interval)
        plain["roc"] = [list(point) for point in self.roc]
        plain["importances"] = list(plain["importances"])
        return plain

    def frame(self) -> pd.DataFrame:
        """Return one row per feature: its permutation importance."""
        import pandas as pd  # imported only when a frame is wanted

        return pd.DataFrame([asdict(i) for i in self.importances], columns=["feature", "auc_lost"])


def classify(
    reference: ArrayLike | pd.DataFrame,
    current: ArrayLike | pd.DataFrame,
    *,
    reference_patients: Patients = None,
    patients: Patients = None,
    alpha: float = 0.05,
    seed: int = 0,
    permutations: int = DEFAULT_PERMUTATIONS,
) -> ClassifierResult:
    """Train a classifier to tell the window from the reference.

    Parameters
    ----------
    reference, current, reference_patients, patients
        As in `pipeline.drift.compare`; of more than 5,000 patients a seeded sample is used.
    alpha
        Chance of an alarm when nothing has changed, 0 to 1.
    seed
        Of samples, trees, folds and permutations.
    permutations
        Relabellings for the p-value, which is at least 1 / (permutations + 1).
    """
    random = np.random.default_rng(seed)
    sides = []
    for rows, of in ((reference, reference_patients), (current, patients)):
        steps = to_steps(rows)
        sides.append(sample_rows(steps[one_row_per_patient(steps, of, random)], random))
    n_reference, n = map(len, sides)
    if min(n_reference, n) < MIN_PATIENTS:
        return ClassifierResult(
            enough_data=False, drift=False, alpha=alpha, n_reference=n_reference, n_current=n,
            seed=seed, reason=f"Not enough data: at least {MIN_PATIENTS} patients per side needed.",
        )  # fmt: skip
    pooled = np.vstack(sides)
    label = np.repeat([0.0, 1.0], [n_reference, n])
    design = _Design(pooled, random)
    labels = np.vstack([label, draw_labels(random, len(pooled), n, permutations)])
    total = np.logaddexp.reduce(design.weighted_neg_log_p(labels.astype(np.float32)), axis=1)
    p = float((total >= total[0] - 1e-9).mean())
    folds = _folds(label, random)
    fitted = [design.fit(label, folds != fold) for fold in range(FOLDS)]
    scores = design.score(fitted, folds)
    area, error = auc(label, scores)
    importances = design.importances(fitted, folds, label, scores, random)
    found = p <= alpha
    return ClassifierResult(
        enough_data=True,
        drift=found,
        p_value=p,
        alpha=alpha,
        auc=area,
        auc_interval=(max(0.0, area - _Z * error), min(1.0, area + _Z * error)),
        roc=_roc(label, scores),
        importances=importances,
        n_reference=n_reference,
        n_current=n,
        permutations=permutations,
        seed=seed,
        reason=(
            f"Drift: classifier AUC {area:.2f}, most important feature {importances[0].feature}."
            if found
            else f"No drift detected: classifier AUC {area:.2f} is consistent with 0.5."
        ),
    )


class _Finding(NamedTuple):
    """What the bases know of one finding, one row a patient; a permuted finding is other rows."""

    values: Array
    """Soft bins, tails, levels and whether it is missing, shape (n, k)."""
    mid_rank: Array
    """Standardised; 0 where missing."""
    distance: Array
    """How far the rank is from the middle, less its mean; 0 where missing."""
    missing: Array
    """1 where missing, less its mean."""
    order: Array
    """Above which thresholds of the trees: the value, the lowest where missing."""

    def rows(self, at: Integers) -> _Finding:
        return _Finding(*(part[at] for part in self))


def _finding(column: Array, feature: Feature) -> _Finding:
    known = ~np.isnan(column)
    rank = standardised_ranks(column)
    distance = np.where(known, np.abs(rank), 0.0)
    distance[known] -= distance[known].mean() if known.any() else 0.0
    parts: list[NDArray[Any]] = [rank, distance, ~known] if feature.is_numeric else [~known]
    if feature.is_numeric and known.any():
        parts += _of_number(column, known, feature)
    elif known.any():
        parts += [column == level for level in np.unique(column[known])]
    missing = ~known - (~known).mean()
    values = np.column_stack(parts).astype(float)
    return _Finding(values, rank, distance, missing, np.where(known, column, -np.inf))


def _of_number(column: Array, known: NDArray[np.bool_], feature: Feature) -> Iterator[NDArray[Any]]:
    """Yield soft bins and tails by rank, the value itself, and what unit errors change."""
    ordered = np.sort(column[known])
    ends = (np.searchsorted(ordered, column, side) for side in ("left", "right"))
    share = sum(ends) / 2 / len(ordered)
    for knot in np.linspace(0, 1, _BINS + 1):
        yield np.where(known, np.maximum(1 - np.abs(share - knot) * _BINS, 0), 0)
    for tail in _TAILS:
        yield known & (share < tail)
        yield known & (share > 1 - tail)
    first, third = np.quantile(ordered, [0.25, 0.75])
    yield known & (column < first - 3 * (third - first))  # Tukey's outer fences
    yield known & (column > third + 3 * (third - first))
    spread = column[known].std() or 1.0
    yield np.where(known, np.clip((column - column[known].mean()) / spread, -6, 6), 0)
    if len(ordered) > 1:
        gap = np.diff(ordered).argmax()
        yield known & (column > ordered[gap])
    if feature.kind is Kind.NUMBER:
        yield known & (column % ROUNDING_BASE == 0)


class _Design:
    """The bases of the pooled patients. They do not look at the labels."""

    def __init__(self, pooled: Array, random: np.random.Generator) -> None:
        self._findings = [_finding(pooled[:, i], f) for i, f in enumerate(FEATURES)]
        # Each tree splits all its nodes of one level alike, at a value of a random patient.
        self._split = random.integers(len(FEATURES), size=(_TREES, _DEPTH))
        order = np.column_stack([finding.order for finding in self._findings])
        self._above = order[random.integers(len(pooled), size=self._split.shape), self._split]
        signs = random.choice([-1.0, 1.0], (_TREES, 2**_DEPTH, _PROJECTED)).astype(np.float32)
        self._leaves = signs
        columns = list(self._columns(self._findings))
        self._mean = [part.mean(axis=0) for part in columns]
        spread = [part.std(axis=0) for part in columns]
        self._scale = [np.where(sd > 1e-9, sd, np.inf) for sd in spread]
        self._bases = self._standardised(columns)
        each = len(FEATURES)
        kinds = ["values"] * each + ["relations"] * each + ["all", "pairs", "trees"]
        self._weights = [_WEIGHTS[kind] for kind in kinds]

    def _columns(self, findings: Sequence[_Finding]) -> Iterator[NDArray[Any]]:
        ranks = np.column_stack([finding.mid_rank for finding in findings])
        far = np.column_stack([finding.distance for finding in findings])
        yield from (finding.values for finding in findings)
        for i, finding in enumerate(findings):
            others = np.arange(len(findings)) != i
            rank, distance = finding.mid_rank[:, None], finding.distance[:, None]
            parts = [rank * ranks[:, others], distance * ranks[:, others], rank * far[:, others]]
            if finding.missing.any():
                missing = finding.missing[:, None]
                parts += [missing * ranks[:, others], missing * far[:, others]]
            yield np.hstack(parts)
        yield np.hstack([finding.values for finding in findings])
        pairs = combinations(range(len(findings)), 2)
        yield np.column_stack([ranks[:, a] * ranks[:, b] for a, b in pairs])
        trees = np.zeros((len(ranks), _PROJECTED), dtype=np.float32)
        for split, above, leaves in zip(self._split, self._above, self._leaves, strict=True):
            leaf = np.zeros(len(ranks), dtype=np.int64)
            for feature, threshold in zip(split, above, strict=True):
                leaf = 2 * leaf + (findings[feature].order > threshold)
            trees += leaves[leaf]
        yield trees

    def _standardised(self, columns: Iterable[NDArray[Any]]) -> list[Floats]:
        parts = zip(columns, self._mean, self._scale, strict=True)
        return [((part - mean) / scale).astype(np.float32) for part, mean, scale in parts]

    def weighted_neg_log_p(self, labels: Floats) -> Array:
        """Return the evidence of each basis, weighted: labels of shape (b, n) -> (b, bases).

        It is -log p of the covariance of labels and leave-one-out scores, by the gamma
        distribution with the moments that it has over the relabellings.
        """
        found = [
            _neg_log_p(_covariances(basis, labels)) + np.log(weight)
            for basis, weight in zip(self._bases, self._weights, strict=True)
        ]
        return np.column_stack(found)

    def fit(self, label: Array, train: NDArray[np.bool_]) -> list[Floats]:
        """Return the coefficients of every basis, fitted to the chosen patients.

        A basis counts by the square of the correlation that its leave-one-out scores have among
        those patients; none where they have no positive one.
        """
        fitted = []
        wanted = label[train].astype(np.float32)
        centred = wanted - wanted.mean()
        for basis in self._bases:
            of = basis[train] - basis[train].mean(axis=0)
            ((_, scores),) = _leave_one_out(of, wanted[None])
            size = float(np.linalg.norm(scores) * np.linalg.norm(centred))
            correlation = float(scores[0] @ centred) / size if size else 0.0
            coefficients = _solve(of, of.T @ centred)
            spread = float((of @ coefficients).std()) or np.inf
            fitted.append(coefficients * (max(correlation, 0.0) ** 2 / spread))
        return fitted

    def score(
        self, fitted: Sequence[list[Floats]], folds: Integers, bases: list[Floats] | None = None
    ) -> Array:
        """Score every patient by the fold that was fitted without it; shape (n,)."""
        scores = np.zeros(len(folds))
        for fold, coefficients in enumerate(fitted):
            for basis, beta in zip(bases or self._bases, coefficients, strict=True):
                scores[folds == fold] += basis[folds == fold] @ beta
        return scores

    def importances(
        self,
        fitted: Sequence[list[Floats]],
        folds: Integers,
        label: Array,
        scores: Array,
        random: np.random.Generator,
    ) -> tuple[Importance, ...]:
        """Permute each finding between patients; return the drop in AUC, the largest first."""
        at = random.permutation(len(folds))[:_IMPORTANCE_ROWS]
        before, _ = auc(label[at], scores[at])
        findings = [finding.rows(at) for finding in self._findings]
        lost = []
        for i, name in enumerate(NAMES):
            moved = list(findings)
            moved[i] = findings[i].rows(random.permutation(len(at)))
            permuted = self._standardised(self._columns(moved))
            after, _ = auc(label[at], self.score(fitted, folds[at], permuted))
            lost.append(Importance(name, before - after))
        return tuple(sorted(lost, key=lambda one: -one.auc_lost))


def _solve(basis: Floats, right: Floats) -> Floats:
    """Return the coefficients of ridge regression."""
    covariance = basis.T @ basis
    covariance[np.diag_indices_from(covariance)] += _RIDGE * len(basis)
    return np.linalg.solve(covariance, right)


def _factor(basis: Floats) -> Floats:
    """Return W so that W W' y are the fitted values of ridge regression on centred columns."""
    covariance = basis.T @ basis
    covariance[np.diag_indices_from(covariance)] += _RIDGE * len(basis)
    root = np.linalg.cholesky(covariance)
    return np.linalg.solve(root, basis.T).T


def _leave_one_out(basis: Floats, labels: Floats) -> Iterator[tuple[Floats, Floats]]:
    """Yield labels, less their mean, with the leave-one-out scores of ridge regression, in blocks.

    The score of a patient left out of a linear smoother is (fit - h y) / (1 - h), h being its
    leverage. Source: Hastie, Tibshirani & Friedman (2009), Elements of Statistical Learning, 7.10.

    Parameters
    ----------
    basis, labels
        Shapes (n, k), centred, and (b, n).
    """
    root = _factor(basis)
    leverage = (root**2).sum(axis=1) + 1 / len(basis)
    for start in range(0, len(labels), _BLOCK):
        y = labels[start : start + _BLOCK]
        y = y - y.mean(axis=1, keepdims=True)
        yield y, ((y @ root) @ root.T - leverage * y) / (1 - leverage)


def _covariances(basis: Floats, labels: Floats) -> Array:
    """Return the sums of the products of labels and their leave-one-out scores, shape (b,)."""
    blocks = _leave_one_out(basis, labels)
    return np.concatenate([np.einsum("bn,bn->b", y, scores) for y, scores in blocks]).astype(float)


def _neg_log_p(drawn: Array) -> Array:
    mean, variance = float(drawn.mean()), float(drawn.var())
    if variance < 1e-12:
        return np.zeros_like(drawn)
    third = float(((drawn - mean) ** 3).mean())
    return gamma_three_moments(mean, variance, max(third, 1e-3 * variance**1.5)).neg_log_p(drawn)


def _folds(label: Array, random: np.random.Generator) -> Integers:
    """Deal the patients of each side to the folds."""
    folds = np.empty(len(label), dtype=np.int64)
    for side in (0.0, 1.0):
        at = random.permutation(np.flatnonzero(label == side))
        folds[at] = np.arange(len(at)) % FOLDS
    return folds


def _roc(label: Array, scores: Array) -> tuple[tuple[float, float], ...]:
    """Return the ROC curve from (0, 0) to (1, 1), equal scores in one step."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[order]) != 0, True)
    hits = np.cumsum(label[order])[last] / label.sum()
    false = np.cumsum(1 - label[order])[last] / (1 - label).sum()
    at = np.unique(np.linspace(0, len(hits) - 1, _ROC_POINTS).astype(int))
    curve = zip(false[at].tolist(), hits[at].tolist(), strict=True)
    return ((0.0, 0.0), *curve)
