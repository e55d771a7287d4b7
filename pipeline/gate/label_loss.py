"""The log-loss of a batch's labels under a trusted model, compared with that of clean labels.

The mean log-loss on the batch is compared with the trusted patients' own, predicted out of fold.
By its limit one clean batch in twenty is rejected; it depends on how many patients the batch has
and which cells are missing.

What it cannot see: a batch from another hospital is judged by this hospital's patients, and a
patient who really is unlike the others is as surprising as a wrong label.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.gate.result import NOT_SURPRISING, SURPRISING, GateResult, UnexpectedLabel
from pipeline.model.design_matrix import Array
from pipeline.poisoning.attacks import Mask
from pipeline.schema import NAMES, TARGET
from pipeline.training.imputation import Predictor, fit_missingness_augmented

if TYPE_CHECKING:
    import pandas as pd

FALSE_POSITIVE_RATE = 0.05
FOLDS = 5
DRAWS = 4000  # the limit's own error is then a fifteenth of the spread of clean batches
SEED = 0


class TrustedLosses:
    """The losses of trusted patients out of fold, whatever cells are blanked.

    Parameters
    ----------
    rows
        Trusted patients, UCI codes, shape (n, 13), NaN = missing.
    y
        Their labels 0.0 or 1.0, shape (n,).
    c
        Inverse strength of the L2 penalty.
    """

    def __init__(self, rows: Array, y: Array, c: float) -> None:
        self.rows, self._y = rows, y
        order = np.argsort(y + np.random.default_rng(SEED).random(len(y)) / 2, kind="stable")
        self._fold = np.empty(len(y), dtype=int)
        self._fold[order] = np.arange(len(y)) % FOLDS
        self._models: list[Predictor] = [
            fit_missingness_augmented(rows[self._fold != k], y[self._fold != k], c)
            for k in range(FOLDS)
        ]

    def frame(self) -> pd.DataFrame:
        """Return the patients with their label, as files are compared with."""
        import pandas as pd  # imported only when a frame is wanted

        return pd.DataFrame(self.rows, columns=list(NAMES)).assign(**{TARGET: self._y})

    def losses(self, missing: Mask) -> tuple[Array, NDArray[np.intp]]:
        """Return the clean losses for each missing pattern of a batch.

        Parameters
        ----------
        missing
            Cells that the batch lacks, shape (m, 13).

        Returns
        -------
        tuple
            Losses, shape (number of patterns, n), and each batch patient's pattern, shape (m,).
        """
        patterns, which = np.unique(missing, axis=0, return_inverse=True)
        found = np.empty((len(patterns), len(self._y)))
        for k, predict in enumerate(self._models):
            held_out = self._fold == k
            for i, pattern in enumerate(patterns):
                blanked = np.where(pattern, np.nan, self.rows[held_out])
                found[i, held_out] = log_loss(self._y[held_out], predict(blanked))
        return found, which.ravel()


@dataclass(frozen=True)
class LossLimit:
    """What clean labels of a batch's patients would be like."""

    loss: float
    """Mean log-loss of the trusted patients with the batch's missing cells, out of fold."""
    limit: float
    """What a clean batch of this size exceeds in `FALSE_POSITIVE_RATE` of cases."""
    per_patient_limit: Array
    """For each patient, the loss that 95 % of the clean ones with his missing cells stay below."""
    surprising: float
    """How many of a clean batch would be above it."""


def loss_limit(rows: Array, reference: TrustedLosses, *, seed: int = SEED) -> LossLimit:
    """Simulate clean batches with the size and the missing cells of this one.

    Parameters
    ----------
    rows
        New patients, UCI codes, shape (m, 13), NaN = missing.
    reference
        The trusted patients.
    seed
        Of the simulated batches.
    """
    clean, which = reference.losses(np.isnan(rows))
    loss = float(clean.mean(axis=1)[which].mean())
    usual = np.quantile(clean, 1.0 - FALSE_POSITIVE_RATE, axis=1)
    share = (clean > usual[:, None]).mean(axis=1)
    return LossLimit(
        loss, loss + _margin(clean, which, seed), usual[which], float(share[which].sum())
    )


def _margin(clean: Array, which: NDArray[np.intp], seed: int) -> float:
    """Return by how much a clean batch's mean loss exceeds the trusted one in 1 of 20 draws.

    Both means are drawn: the trusted patients, too, are only a sample of their hospital's.
    """
    rng = np.random.default_rng(seed)
    centred = clean - clean.mean(axis=1, keepdims=True)
    patterns, counts = np.unique(which, return_counts=True)
    parts = (_sums(centred[k], int(m), rng) for k, m in zip(patterns, counts, strict=True))
    batch = sum(parts, np.zeros(DRAWS)) / len(which)
    own = counts @ centred[patterns] / len(which)
    return float(
        np.quantile(batch - _sums(own, len(own), rng) / len(own), 1.0 - FALSE_POSITIVE_RATE)
    )


def _sums(values: Array, count: int, rng: np.random.Generator) -> Array:
    """Draw `count` of the values with replacement, `DRAWS` times; return the sums."""
    if count <= len(values):
        drawn: Array = values[rng.integers(len(values), size=(DRAWS, count))]
        return np.asarray(drawn.sum(axis=1))
    # How often each value is drawn: the memory does not grow with the batch.
    times = rng.multinomial(count, np.full(len(values), 1.0 / len(values)), DRAWS)
    return np.asarray(times @ values)


def decide(y: Array, p: Array, expected: LossLimit) -> GateResult:
    """Judge a batch by how surprised a trusted model is.

    Parameters
    ----------
    y
        Claimed labels 0.0 or 1.0, shape (m,).
    p
        Probability of disease by the trusted model, shape (m,).
    expected
        What clean labels would be like.
    """
    found = log_loss(y, p)
    loss, surprising = float(found.mean()), int((found > expected.per_patient_limit).sum())
    accept = loss <= expected.limit
    return GateResult(
        accept=accept,
        reason=NOT_SURPRISING if accept else SURPRISING,
        n=len(y),
        loss=loss,
        clean_loss=expected.loss,
        limit=expected.limit,
        surprising=surprising,
        expected=expected.surprising,
        rows=_excess(found, y, p, surprising - expected.surprising),
    )


def _excess(loss: Array, y: Array, p: Array, excess: float) -> tuple[UnexpectedLabel, ...]:
    most = np.argsort(-loss, kind="stable")[: max(0, round(excess))]
    own = np.where(y == 1, p, 1.0 - p)
    return tuple(UnexpectedLabel(int(i) + 1, int(y[i]), round(float(own[i]), 4)) for i in most)


def log_loss(y: Array, p: Array) -> Array:
    """Return each patient's surprise, -log of the probability of the label; 0 = none."""
    return np.asarray(-np.log(np.clip(np.where(y == 1, p, 1.0 - p), 1e-12, 1.0)))
