"""What poisoned labels do to the model: dose-response curves over attacks, defences and seeds.

The model under attack has the scorecard's columns and penalty, fitted to the patients as they are
(without the copies with blanked cells, which would cost thirteen times the time and are no part of
the question). Each seed draws its own five folds and its own poison. Poison is in the training
folds only; predictions of the five test folds are pooled and measured against the true labels.
Numbers are standardised once by all patients, which reads no label. numpy only: a page may import
it, a worker process runs it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from threadpoolctl import threadpool_limits

from pipeline.dataset.heart import HEART_CSV, training_source
from pipeline.model.design_matrix import Array, build_design_matrix, standardise
from pipeline.model.inputs import binary_labels, patients, vector
from pipeline.model.logistic_regression import CV_TOLERANCE, fit_weighted
from pipeline.poisoning.attacks import (
    ATTACKS,
    BACKDOOR,
    Attack,
    AttackContext,
    Mask,
    add_trigger,
    poisoned_labels,
    select_patients,
)
from pipeline.poisoning.defences import DEFENCES, DefendedFit, TrainingSets, probabilities
from pipeline.poisoning.metrics import ExperimentCell, compute_metrics, share
from pipeline.schema import NAMES, SENSITIVE

if TYPE_CHECKING:
    import pandas as pd

FOLDS = 5
SEEDS = 30  # the middle 95 % then leaves out about one draw on either side
C = 0.3
"""Inverse strength of the L2 penalty that the scorecard is served with."""
GROUPS: Mapping[str, tuple[int, int]] = {
    group: (NAMES.index(feature.name), code)
    for feature in SENSITIVE
    if feature.codes
    for code, group in feature.groups.items()
}
"""Whom the attack on one group may be aimed at: group -> its column and code."""
GROUP = next(iter(GROUPS))
THRESHOLD = 0.5
MAX_SEEDS = 200
MAX_C = 100.0  # beyond, classes separate and the coefficients grow without end

Progress = Callable[[float], object]


@dataclass(frozen=True)
class PoisoningResult:
    """The measures of every attack, dose and defence, over the seeds."""

    settings: Mapping[str, Any]
    """Patients, seeds, folds, c, group, threshold: what the figures rest on."""
    cells: tuple[ExperimentCell, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; bands are [mean, low, high], None = not defined."""
        return {"settings": dict(self.settings), "cells": [cell.to_dict() for cell in self.cells]}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> PoisoningResult:
        """Read what `to_dict` wrote."""
        return cls(
            found["settings"], tuple(ExperimentCell.from_dict(cell) for cell in found["cells"])
        )

    def frame(self) -> pd.DataFrame:
        """Return a row per attack, dose, defence and measure: mean, low, high."""
        import pandas as pd  # imported only when a frame is wanted

        rows = [row for cell in self.cells for row in cell.rows()]
        names = ["attack", "dose", "changed", "defence", "measure", "mean", "low", "high"]
        return pd.DataFrame(rows, columns=names)


def run(
    rows: Array,
    y: Array,
    *,
    attacks: Sequence[str] = tuple(ATTACKS),
    doses: Sequence[float] | None = None,
    defences: Sequence[str] = tuple(DEFENCES),
    seeds: int = SEEDS,
    c: float = C,
    group: str = GROUP,
    progress: Progress | None = None,
) -> PoisoningResult:
    """Poison, defend and measure.

    Parameters
    ----------
    rows
        Patients, UCI codes, shape (n, 13), NaN = missing.
    y
        True labels 0.0 or 1.0, shape (n,).
    attacks, defences
        Names of `ATTACKS` and `DEFENCES`.
    doses
        Shares of the training patients, above 0 and below 1; None = each attack's own.
    seeds
        Draws of folds and poison; the seeds are 0, 1, 2, ...
    c
        Inverse strength of the L2 penalty.
    group
        One of `GROUPS`, whose recall is shown and whom the attack on one group is aimed at.
    progress
        Called with the share done; what it raises ends the run.

    Raises
    ------
    ValueError
        When a name or a number is not one of those allowed.
    """
    _check(attacks, doses, defences, seeds, c)
    rows = patients(rows)
    y = binary_labels(y, len(rows))
    if group not in GROUPS:
        raise ValueError(f"the group must be one of: {', '.join(GROUPS)}")
    say = progress or (lambda _: None)
    study = _Study(rows, y, seeds, c, group)
    plan = [ATTACKS[name] for name in attacks]
    parts = 1 + sum(len(doses or attack.doses) for attack in plan)
    cells, done = [], 1
    clean = [study.defend(study.clean_sets(), d) for d in defences]
    say(done / parts)
    for attack in plan:
        cells += [
            study.cell(attack, 0.0, d, found) for d, found in zip(defences, clean, strict=True)
        ]
        for dose in doses or attack.doses:
            poisoned, changed = study.poisoned_sets(attack, dose)
            for name in defences:
                found = study.defend(poisoned, name)
                cells.append(study.cell(attack, dose, name, found, changed))
            done += 1
            say(done / parts)
    settings = {
        "n": len(y), "n_disease": int(y.sum()), "seeds": seeds, "folds": FOLDS, "c": c,
        "group": group, "n_group": int(study.ground.group.sum()), "threshold": THRESHOLD,
    }  # fmt: skip
    return PoisoningResult(settings, tuple(cells))


class _Study:
    """The patients, the folds of every seed, and the clean model of every training set."""

    def __init__(self, rows: Array, y: Array, seeds: int, c: float, group: str) -> None:
        center, scale = standardise(rows)
        self.x = build_design_matrix(rows, center, scale)
        self.triggered = build_design_matrix(add_trigger(rows), center, scale)
        self.c, self.y = c, y
        random = [np.random.default_rng(seed) for seed in range(seeds)]
        train = np.concatenate([_training(y, rng) for rng in random])
        shape = (FOLDS, len(y))
        self.order = np.concatenate([rng.random(shape) for rng in random])
        self.inner = np.concatenate([rng.integers(0, FOLDS, (FOLDS, 2 * len(y))) for rng in random])
        beta = fit_weighted(self.x, y, train.astype(float), c, tolerance=CV_TOLERANCE)
        self.clean = probabilities(self.x, beta)
        column, code = GROUPS[group]
        self.ground = AttackContext(y, rows[:, column] == code, train, self.clean, self.order)

    def clean_sets(self) -> TrainingSets:
        """Return the training sets before any attack."""
        truth = np.broadcast_to(self.y, self.ground.train.shape)
        return TrainingSets(self.x, truth, self.ground.train, self.inner[:, : len(self.y)])

    def poisoned_sets(self, attack: Attack, dose: float) -> tuple[TrainingSets, Mask]:
        """Return the training sets after an attack, and their changed rows."""
        changed = select_patients(self.ground, attack, dose)
        y, train = poisoned_labels(self.ground, attack, changed), self.ground.train
        if attack is not BACKDOOR:
            return TrainingSets(self.x, y, train, self.inner[:, : len(self.y)]), changed
        # The patients twice, without and with the trigger; a set uses each of its patients once.
        both = np.vstack([self.x, self.triggered])
        used = np.hstack([train & ~changed, changed])
        nobody = np.zeros_like(changed)
        return (
            TrainingSets(both, np.hstack([y, y]), used, self.inner),
            np.hstack([nobody, changed]),
        )

    def defend(self, data: TrainingSets, defence: str) -> tuple[TrainingSets, DefendedFit]:
        """Fit the sets with a defence."""
        return data, DEFENCES[defence](data, self.c)

    def cell(
        self,
        attack: Attack,
        dose: float,
        defence: str,
        found: tuple[TrainingSets, DefendedFit],
        changed: Mask | None = None,
    ) -> ExperimentCell:
        """Measure one defence against one dose of one attack."""
        data, defended = found
        p = self._pooled(probabilities(self.x, defended.beta))
        shown = self.triggered if attack is BACKDOOR else self.x
        attacked = self._pooled(probabilities(shown, defended.beta))
        right = (self._pooled(self.clean) >= THRESHOLD) == (self.y == 1)
        target = right & self.ground.target(attack)
        wrong = (attacked >= THRESHOLD) != (self.y == 1)
        none = np.zeros_like(data.used)
        return compute_metrics(
            attack.name, dose, defence, self.y, p, self.ground.group,
            success=share(target & wrong, target),
            changed=none if changed is None else changed,
            used=data.used,
            removed=defended.removed,
        )  # fmt: skip

    def _pooled(self, p: Array) -> Array:
        """Return each patient's out-of-fold prediction, shape (seeds, n)."""
        tested = np.where(self.ground.train, 0.0, p)
        return np.asarray(tested.reshape(-1, FOLDS, len(self.y)).sum(axis=1))


def _training(y: Array, rng: np.random.Generator) -> Mask:
    """Draw five folds with the same share of disease; return each one's training patients."""
    fold = np.empty(len(y), dtype=int)
    given = 0
    for label in (0.0, 1.0):
        members = rng.permutation(np.flatnonzero(y == label))
        fold[members] = (given + np.arange(len(members))) % FOLDS
        given += len(members)
    return np.asarray(fold != np.arange(FOLDS)[:, None])


def _check(
    attacks: Sequence[str],
    doses: Sequence[float] | None,
    defences: Sequence[str],
    seeds: int,
    c: float,
) -> None:
    for names, known in ((attacks, ATTACKS), (defences, DEFENCES)):
        unknown = [name for name in names if name not in known]
        if unknown or not names:
            raise ValueError(f"expected one or more of: {', '.join(known)}")
    if doses is not None and not ((shares := vector(doses, "doses")) * (1 - shares) > 0).all():
        raise ValueError("a dose is a share of the training patients, above 0 and below 1")
    if not isinstance(seeds, int) or not 2 <= seeds <= MAX_SEEDS or not 0 < c <= MAX_C:
        raise ValueError(f"seeds must be 2 to {MAX_SEEDS}, c above 0 and at most {MAX_C:g}")


def run_job(
    progress: Progress, rows: Any, disease: Any, data: str, **settings: Any
) -> dict[str, Any]:
    """Run on patients given as lists (None = missing), for a worker process.

    Beside what `PoisoningResult.to_dict` writes, `settings` name their file, `data`.
    """
    found = run(np.array(rows, float), np.array(disease, float), progress=progress, **settings)
    written = found.to_dict()
    return {**written, "settings": {**written["settings"], "data": data}}


def table(found: PoisoningResult) -> str:
    """Return the means as a text table."""
    frame = found.frame()
    wide = frame.pivot_table(
        index=["attack", "defence", "dose"], columns="measure", values="mean", sort=False
    )
    return str(wide.to_string(float_format="{:.3f}".format, na_rep=""))


@click.command("poison")
@click.option("--seeds", type=click.IntRange(2, MAX_SEEDS), default=SEEDS, help="Draws.")
@click.option(
    "--c",
    type=click.FloatRange(0, MAX_C, min_open=True),
    default=C,
    help="Inverse strength of the L2 penalty.",
)
@click.option(
    "--group",
    type=click.Choice(list(GROUPS)),
    default=GROUP,
    help="Whose labels the attack on one group changes.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def command(seeds: int, c: float, group: str, as_json: bool) -> None:
    """Measure what poisoned labels do to the model, and what defences save.

    Every attack, dose and defence is trained and tested in as many draws as --seeds says.
    """

    def progress(done: float) -> None:
        print(f"\rpoison: {done:4.0%}", end="", file=sys.stderr, flush=True)

    source = training_source()
    data = source.rows, source.disease, HEART_CSV.name
    with threadpool_limits(1):  # matrices this small only wait for each other
        found = run_job(progress, *data, seeds=seeds, c=c, group=group)
    print(file=sys.stderr)
    print(json.dumps(found, indent=2) if as_json else table(PoisoningResult.from_dict(found)))
