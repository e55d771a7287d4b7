"""What each finding did to the mean risk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.dataset.synthetic import smoothed_bootstrap
from pipeline.drift import risk_shares
from pipeline.model import load
from pipeline.schema import NAMES
from pipeline.train import LabelledPatients


@pytest.mark.parametrize("n", [1, 60, 500])
def test_the_shares_sum_to_the_change(cleveland: LabelledPatients, model_dir: Path, n: int) -> None:
    model = load(model_dir)
    before = model.score(cleveland.rows)
    now = model.score(smoothed_bootstrap(cleveland.rows, n, seed=1))

    shares = risk_shares(before, now)

    log_odds = [np.log(s.probability / (1 - s.probability)).mean() for s in (before, now)]
    assert shares.log_odds.sum() == pytest.approx(log_odds[1] - log_odds[0], abs=1e-9)
    moved = now.probability.mean() - before.probability.mean()
    assert shares.probability.sum() == pytest.approx(moved, abs=1e-9)


def test_a_finding_that_alone_changed_has_the_whole_share(
    cleveland: LabelledPatients, model_dir: Path
) -> None:
    model, rows = load(model_dir), cleveland.rows.copy()
    rows[:, NAMES.index("thalach")] -= 20

    shares = risk_shares(model.score(cleveland.rows), model.score(rows))

    others = [name != "thalach" for name in NAMES]
    assert np.abs(shares.log_odds[others]).max() < 1e-9
    assert np.abs(shares.probability[others]).max() < 0.01 * shares.probability.sum()
