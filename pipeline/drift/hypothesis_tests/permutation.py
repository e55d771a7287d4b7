"""One shared set of label permutations and the family-wise control that rests on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pipeline.drift.contingency_tables import Array
from pipeline.drift.hypothesis_tests.multivariate import multivariate_tests
from pipeline.drift.hypothesis_tests.null_distributions import gamma_two_moments
from pipeline.drift.hypothesis_tests.test_families import (
    ALPHA_WEIGHTS,
    ATTRIBUTION_ALPHA_SHARE,
    ATTRIBUTION_WEIGHTS,
    COMBINED,
    CONDITIONAL,
    MULTIVARIATE,
    VALUES,
    Hypothesis,
    StatisticBlock,
)
from pipeline.drift.hypothesis_tests.univariate import univariate_tests

DEFAULT_PERMUTATIONS = 999
"""Permutations for the usual alpha; with the observed labels they make p-values of 1/1000."""
_TIE = 1e-5  # evidence that differs by less, in -log p, is equal: sums are in single precision
_CALIBRATED_AT = 0.05  # enough relabellings lie beyond; from there evidence falls as exp(-x)
HOPELESS = 20
"""Times alpha: a p-value so large after the first batch does not come down."""


AdjustedPValues = tuple[tuple[Hypothesis, float], ...]
"""Hypotheses with adjusted p-values."""


@dataclass(frozen=True)
class AdjustedTests:
    """Whether anything changed, and what, each with family-wise p-values."""

    all_hypotheses: AdjustedPValues
    """Adjusted over all kinds of evidence."""
    names: AdjustedPValues
    """What points at its own column or pair, adjusted over these alone; never below `p_value`."""
    p_value: float
    """Of everything together."""
    critical_p_value: float
    """Unadjusted p-value below which a change of one column is an alarm."""
    permutations: int


def required_permutations(alpha: float) -> int:
    """Return how many permutations an alarm budget needs: p-values of a tenth of it or less."""
    return DEFAULT_PERMUTATIONS if alpha >= 0.01 else max(9_999, int(np.ceil(20 / alpha)) - 1)


@dataclass(frozen=True)
class PermutationDistribution:
    """All evidence for the true labels (first row) and for random ones."""

    hypotheses: Sequence[Hypothesis]
    neg_log_p: Array
    """-log p, shape (1 + relabellings, hypotheses)."""
    alpha: float

    @cached_property
    def _scored(self) -> tuple[list[Hypothesis], Array, Array]:
        return _scores(self.hypotheses, self.neg_log_p, ALPHA_WEIGHTS)

    @cached_property
    def _total(self) -> Array:
        return _total(*self._scored[:2])

    @cached_property
    def p_value(self) -> float:
        """Of everything together; nothing varies = 1."""
        if not self.hypotheses:
            return 1.0
        return float((self._total >= self._total[0] - _TIE).mean())

    def tested(self) -> AdjustedTests:
        """Adjust the p-values of all hypotheses, and of those that name something."""
        if not self.hypotheses:
            return AdjustedTests((), (), 1.0, self.alpha, 0)
        tested, scores, offsets = self._scored
        critical = float(np.quantile(self._total, 1 - self.alpha))
        column = [offset for h, offset in zip(tested, offsets, strict=True) if h.family == COMBINED]
        named, name_scores, _ = _scores(self.hypotheses, self.neg_log_p, ATTRIBUTION_WEIGHTS)
        names = np.clip(_step_down(name_scores) / ATTRIBUTION_ALPHA_SHARE, self.p_value, 1.0)
        return AdjustedTests(
            tuple(zip(tested, _step_down(scores).tolist(), strict=True)),
            # What is named is decided apart from whether to alarm, with a budget of its own.
            tuple(zip(named, names.tolist(), strict=True)),
            self.p_value,
            min(self.alpha, float(np.exp(column[0] - critical))) if column else self.alpha,
            len(scores) - 1,
        )


def permute_labels(
    reference: Array, current: Array, alpha: float, seed: int
) -> PermutationDistribution:
    """Compute all evidence on rows, for the true labels and for random ones.

    Parameters
    ----------
    reference, current
        Patients in steps, shapes (m, 13) and (n, 13), NaN = missing.
    alpha
        Chance of a false alarm that is allowed.
    seed
        Of the relabellings.
    """
    pooled, n = np.vstack([reference, current]), len(current)
    parts = [*univariate_tests(pooled, n), *multivariate_tests(pooled, n)]
    if not parts:  # both sides are the same constants
        return PermutationDistribution((), np.zeros((1, 0)), alpha)
    hypotheses = [h for part in parts for h in part.hypotheses]
    return PermutationDistribution(hypotheses, _relabelled(parts, pooled, n, alpha, seed), alpha)


def _relabelled(
    parts: list[StatisticBlock], pooled: Array, n: int, alpha: float, seed: int
) -> Array:
    """Compute the evidence for the true labels (first row) and for random ones.

    When the first batch shows that an alarm is out of reach it is enough.
    """
    columns = np.hstack([part.columns for part in parts]).astype(np.float32)
    observed = np.zeros((1, len(pooled)), dtype=np.float32)
    observed[0, -n:] = 1
    found = [_evidence(parts, observed @ columns)]
    wanted, random = required_permutations(alpha), np.random.default_rng(seed)
    hypotheses = [h for part in parts for h in part.hypotheses]
    done = 0
    while done < wanted:
        labels = draw_labels(random, len(pooled), n, min(DEFAULT_PERMUTATIONS, wanted - done))
        found.append(_evidence(parts, labels @ columns))
        done += len(labels)
        if done == DEFAULT_PERMUTATIONS < wanted:
            first = PermutationDistribution(hypotheses, np.vstack(found), alpha)
            if first.p_value > HOPELESS * alpha:
                break
    return np.vstack(found)


def _scores(
    hypotheses: Sequence[Hypothesis], evidence: Array, weights: Mapping[str, float]
) -> tuple[list[Hypothesis], Array, Array]:
    """Choose and combine evidence, and make that of different families comparable.

    Returns
    -------
    What is tested with these weights; its scores, a row for the true labels and for each
    relabelling; and what was added to the evidence.
    """
    if COMBINED in weights:
        hypotheses, evidence = _combined(hypotheses, evidence)
    of = [i for i, h in enumerate(hypotheses) if h.family in weights]
    tested = [hypotheses[i] for i in of]
    offsets = _offsets(tested, evidence[:, of], weights)
    return tested, evidence[:, of] + offsets, offsets


def _total(hypotheses: Sequence[Hypothesis], scores: Array) -> Array:
    """Add up, over the families, weight / p of the strongest evidence of each; return its log.

    The largest of them decides when it stands alone, and kinds of evidence that agree help.

    Source: Wilson (2019), PNAS 116:1195 (harmonic mean p-value); its null is the relabellings'.
    """
    families = np.array([h.family for h in hypotheses])
    strongest = [scores[:, families == family].max(axis=1) for family in dict.fromkeys(families)]
    return np.asarray(np.logaddexp.reduce(strongest, axis=0))


def _combined(hypotheses: Sequence[Hypothesis], evidence: Array) -> tuple[list[Hypothesis], Array]:
    """Add sums of evidence: a column's values and the same given the others; all values.

    Each sum is put on the scale of -log p by the moments that it has over the relabellings.

    Source: Brown (1975), Biometrics 31:987 (Fisher's combination of dependent tests).
    """
    values = {h.names: i for i, h in enumerate(hypotheses) if h.family == VALUES}
    given = {h.names: i for i, h in enumerate(hypotheses) if h.family == CONDITIONAL}
    sums = {
        Hypothesis(COMBINED, names): [at[names] for at in (values, given) if names in at]
        for names in {**values, **given}
    }
    if len(values) > 1:
        sums[Hypothesis(MULTIVARIATE, ())] = list(values.values())
    found = [gamma_two_moments(evidence[:, of].sum(axis=1)) for of in sums.values()]
    return [*hypotheses, *sums], np.column_stack([evidence, *found])


def _offsets(
    hypotheses: Sequence[Hypothesis], evidence: Array, weights: Mapping[str, float]
) -> Array:
    """Make the evidence of different families comparable.

    A family's strongest evidence is large by chance when the family is large and its members are
    independent. Each family is therefore shifted by the quantile of its own maximum over the
    relabellings, and by the log of its weight: then an alarm comes from each as often as its
    weight says. The shift treats all labels alike, the true ones too, so p-values stay exact.
    """
    families = np.array([h.family for h in hypotheses])
    offsets = np.empty(len(families))
    for family in dict.fromkeys(families.tolist()):
        of = families == family
        usual = np.quantile(evidence[:, of].max(axis=1), 1 - _CALIBRATED_AT)
        offsets[of] = np.log(weights[family] * _CALIBRATED_AT) - usual
    return offsets


def _evidence(parts: list[StatisticBlock], sums: NDArray[np.float32]) -> Array:
    found, start = [], 0
    for part in parts:
        stop = start + part.columns.shape[1]
        found.append(part.neg_log_p(sums[:, start:stop]))
        start = stop
    return np.hstack(found)


def draw_labels(random: np.random.Generator, total: int, n: int, count: int) -> NDArray[np.float32]:
    """Draw relabellings: rows of `total` zeros with exactly `n` ones."""
    keys = random.integers(0, 2**32, size=(count, total), dtype=np.uint32)
    labels = keys < np.partition(keys, n, axis=1)[:, n : n + 1]
    tied = labels.sum(axis=1) != n
    if tied.any():  # two equal keys at the limit, about once in ten thousand calls
        labels[tied] = draw_labels(random, total, n, int(tied.sum())) > 0
    return labels.astype(np.float32)


def _step_down(scores: Array) -> Array:
    """Adjust p-values for all hypotheses at once.

    Source: Westfall & Young (1993), Resampling-Based Multiple Testing, algorithm 4.1 (max-T).
    """
    order = np.argsort(-scores[0], kind="stable")
    ordered = scores[:, order]
    remaining = np.maximum.accumulate(ordered[:, ::-1], axis=1)[:, ::-1]
    p = (remaining >= ordered[0] - _TIE).mean(axis=0)
    adjusted = np.empty(len(order))
    adjusted[order] = np.maximum.accumulate(p)
    return adjusted
