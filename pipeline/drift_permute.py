"""One shared set of label permutations and the family-wise control that rests on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.drift_blocks import WEIGHTS, Block, blocks
from pipeline.drift_tables import Array

BATCH = 999
"""Permutations for the usual alpha; with the observed labels they make p-values of 1/1000."""
_TIE = 1e-5  # evidence that differs by less, in -log p, is equal: sums are in single precision


@dataclass(frozen=True)
class Hypothesis:
    """Something that may have changed."""

    family: str
    names: tuple[str, ...]
    """A feature, a pair, or nothing for all together."""
    weight: float


@dataclass(frozen=True)
class Tested:
    """Hypotheses with their family-wise p-values."""

    hypotheses: tuple[Hypothesis, ...]
    p_adjusted: Array
    p_value: float
    """Of the strongest evidence: all hypotheses together."""
    critical: float
    """-log of the unweighted p-value below which evidence is an alarm."""
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
        return Tested((), np.ones(0), 1.0, float(-np.log(alpha)), 0)
    hypotheses = _weighted(parts)
    columns = np.hstack([part.columns for part in parts]).astype(np.float32)
    observed = np.zeros((1, len(pooled)), dtype=np.float32)
    observed[0, len(reference) :] = 1
    shift = np.log([h.weight for h in hypotheses])
    evidence = [_evidence(parts, observed @ columns) + shift]
    strongest = evidence[0].max()
    wanted, random = permutations_for(alpha), np.random.default_rng(seed)
    done = as_strong = 0
    while done < wanted:
        labels = _labels(random, len(pooled), n, min(BATCH + 1, wanted - done))
        evidence.append(_evidence(parts, labels @ columns) + shift)
        done += len(labels)
        as_strong += int((evidence[-1].max(axis=1) >= strongest - _TIE).sum())
        if as_strong > 10 + 3 * alpha * wanted:
            break  # an alarm is out of reach, whatever the rest says
    scores = np.vstack(evidence)
    maxima = scores.max(axis=1)
    return Tested(
        hypotheses,
        _step_down(scores),
        (1 + as_strong) / (1 + done),
        float(np.quantile(maxima, 1 - alpha)),
        done,
    )


def _weighted(parts: list[Block]) -> tuple[Hypothesis, ...]:
    """Split each family's share evenly over its hypotheses."""
    sizes: dict[str, int] = {}
    for part in parts:
        sizes[part.family] = sizes.get(part.family, 0) + len(part.names)
    used = sum(WEIGHTS[family] for family in sizes)
    return tuple(
        Hypothesis(part.family, names, WEIGHTS[part.family] / used / sizes[part.family])
        for part in parts
        for names in part.names
    )


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
