"""One shared set of label permutations and the family-wise control that rests on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.drift.blocks import VALUES, WEIGHTS, Block, Hypothesis, blocks
from pipeline.drift.tables import Array

BATCH = 999
"""Permutations for the usual alpha; with the observed labels they make p-values of 1/1000."""
_TIE = 1e-5  # evidence that differs by less, in -log p, is equal: sums are in single precision
_CALIBRATED_AT = 0.05  # enough relabellings lie beyond; from there evidence falls as exp(-x)
_HOPELESS = 20  # times alpha: a p-value so large after the first batch does not come down


@dataclass(frozen=True)
class Tested:
    """Hypotheses with their family-wise p-values."""

    hypotheses: tuple[Hypothesis, ...]
    p_adjusted: Array
    p_value: float
    """Of the strongest evidence: all hypotheses together."""
    level: float
    """Unadjusted p-value below which the values of one feature are an alarm."""
    permutations: int


def permutations_for(alpha: float) -> int:
    """Return how many permutations an alarm budget needs: p-values of a tenth of it or less."""
    return BATCH if alpha >= 0.01 else max(9_999, int(np.ceil(20 / alpha)) - 1)


def permutation_test(reference: Array, current: Array, alpha: float, seed: int) -> Tested:
    """Test all hypotheses on rows.

    Parameters
    ----------
    reference, current
        Patients in steps, shapes (m, 13) and (n, 13), NaN = not known.
    alpha
        Chance of a false alarm that is allowed.
    seed
        Of the permutations.
    """
    pooled, n = np.vstack([reference, current]), len(current)
    parts = list(blocks(pooled, n))
    if not parts:  # nothing varies: both sides are the same constants
        return Tested((), np.ones(0), 1.0, alpha, 0)
    hypotheses = tuple(h for part in parts for h in part.hypotheses)
    evidence = _relabelled(parts, pooled, n, alpha, seed)
    offsets = _offsets(hypotheses, evidence)
    scores = evidence + offsets
    strongest = scores.max(axis=1)
    critical = float(np.quantile(strongest, 1 - alpha))
    values = [offset for h, offset in zip(hypotheses, offsets, strict=True) if h.family == VALUES]
    return Tested(
        hypotheses,
        _step_down(scores),
        float((strongest >= strongest[0] - _TIE).mean()),
        min(alpha, float(np.exp(values[0] - critical))) if values else alpha,
        len(scores) - 1,
    )


def _relabelled(parts: list[Block], pooled: Array, n: int, alpha: float, seed: int) -> Array:
    """Compute the evidence for the true labels (first row) and for random ones.

    When the first batch shows that an alarm is out of reach it is enough.
    """
    columns = np.hstack([part.columns for part in parts]).astype(np.float32)
    observed = np.zeros((1, len(pooled)), dtype=np.float32)
    observed[0, -n:] = 1
    found = [_evidence(parts, observed @ columns)]
    wanted, random = permutations_for(alpha), np.random.default_rng(seed)
    hypotheses = [h for part in parts for h in part.hypotheses]
    done = 0
    while done < wanted:
        labels = _labels(random, len(pooled), n, min(BATCH, wanted - done))
        found.append(_evidence(parts, labels @ columns))
        done += len(labels)
        if done == BATCH < wanted:
            first = np.vstack(found)
            strongest = (first + _offsets(hypotheses, first)).max(axis=1)
            if (strongest >= strongest[0] - _TIE).mean() > _HOPELESS * alpha:
                break
    return np.vstack(found)


def _offsets(hypotheses: Sequence[Hypothesis], evidence: Array) -> Array:
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
        offsets[of] = np.log(WEIGHTS[family] * _CALIBRATED_AT) - usual
    return offsets


def _evidence(parts: list[Block], sums: NDArray[np.float32]) -> Array:
    found, start = [], 0
    for part in parts:
        stop = start + part.columns.shape[1]
        found.append(part.evidence(sums[:, start:stop]))
        start = stop
    return np.hstack(found)


def _labels(random: np.random.Generator, total: int, n: int, count: int) -> NDArray[np.float32]:
    """Draw relabellings: rows of `total` zeros with exactly `n` ones."""
    keys = random.integers(0, 2**32, size=(count, total), dtype=np.uint32)
    labels = keys < np.partition(keys, n, axis=1)[:, n : n + 1]
    tied = labels.sum(axis=1) != n
    if tied.any():  # two equal keys at the limit, about once in ten thousand calls
        labels[tied] = _labels(random, total, n, int(tied.sum())) > 0
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
