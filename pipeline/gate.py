"""May newly labelled patients enter training? `python -m pipeline.gate NEW.csv`.

A trusted model is surprised by wrong labels: its mean log-loss on the batch is compared with its
loss on its own patients, predicted out of fold. The limit lets one clean batch in twenty be refused
and depends on how many patients the batch has and which cells they lack. The audit's checks come
first: coding, limits, units, and a label that is turned round.

What it cannot see: a batch from another hospital is judged by this hospital's patients, and a
patient who really is unlike the others is as surprising as a wrong label.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from pipeline.audit import audit_patients
from pipeline.codings import Coding
from pipeline.data import HEART_CSV, DataError, Patients, read
from pipeline.design import Array
from pipeline.label import MIN_PATIENTS
from pipeline.model import Model, ModelError, load
from pipeline.poisoning.attacks import Mask
from pipeline.training.treatments import Predict, fit_augmented
from settings import SettingsError, load_settings

if TYPE_CHECKING:
    import pandas as pd

FALSE_ALARMS = 0.05
FOLDS = 5
DRAWS = 4000  # the limit's own error is then a fifteenth of the spread of clean batches
SEED = 0
SHOWN = 20
NOT_SURPRISING = "the labels surprise the trusted model no more than clean ones"
SURPRISING = "the labels surprise the trusted model more than those of 19 in 20 clean batches"
EXIT_MAY_ENTER, EXIT_REFUSED, EXIT_UNREADABLE, EXIT_NOT_JUDGED = 0, 1, 2, 3
"""As `pipeline.audit`: 1 = the labels, 2 = the file (or wrong usage), 3 = nothing to judge by."""


@dataclass(frozen=True)
class Surprise:
    """A patient whose label the trusted model did not expect."""

    patient: int
    """From 1, in the order of the file."""
    label: int
    probability: float
    """That the trusted model gives this label, 0 to 1."""


@dataclass(frozen=True)
class Verdict:
    """Whether a batch may enter training, and why."""

    accept: bool | None
    """None = cannot be judged."""
    reason: str
    n: int
    """Patients with a label."""
    loss: float | None = None
    """Mean log-loss of the labels under the trusted model; larger = more surprising."""
    clean_loss: float | None = None
    """The same of the trusted patients with the batch's missing cells, out of fold."""
    limit: float | None = None
    """What a clean batch of this size exceeds in `FALSE_ALARMS` of cases."""
    surprising: int = 0
    """Patients more surprising than 95 % of the clean ones with the same missing cells."""
    expected: float = 0.0
    """How many of a clean batch would be."""
    rows: tuple[Surprise, ...] = ()
    """The most surprising patients, as many as are in excess of `expected`."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    def frame(self) -> pd.DataFrame:
        """Return one row per surprising patient in excess: patient, label, probability."""
        import pandas as pd  # only who asks for a frame pays for it

        return pd.DataFrame([asdict(row) for row in self.rows], columns=list(_COLUMNS))


_COLUMNS = ("patient", "label", "probability")


class Reference:
    """The losses of trusted patients out of fold, whatever cells are blanked.

    Parameters
    ----------
    rows
        Trusted patients, UCI codes, shape (n, 13), NaN = not known.
    y
        Their labels 0.0 or 1.0, shape (n,).
    c
        Inverse strength of the L2 penalty.
    """

    def __init__(self, rows: Array, y: Array, c: float) -> None:
        self._rows, self._y = rows, y
        order = np.argsort(y + np.random.default_rng(SEED).random(len(y)) / 2, kind="stable")
        self._fold = np.empty(len(y), dtype=int)
        self._fold[order] = np.arange(len(y)) % FOLDS
        self._models: list[Predict] = [
            fit_augmented(rows[self._fold != k], y[self._fold != k], c) for k in range(FOLDS)
        ]

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
                blanked = np.where(pattern, np.nan, self._rows[held_out])
                found[i, held_out] = log_loss(self._y[held_out], predict(blanked))
        return found, which.ravel()


@dataclass(frozen=True)
class Expected:
    """What clean labels of a batch's patients would be like."""

    loss: float
    """Mean log-loss of the trusted patients with the batch's missing cells, out of fold."""
    limit: float
    """What a clean batch of this size exceeds in `FALSE_ALARMS` of cases."""
    usual: Array
    """For each patient, the loss that 95 % of the clean ones with his missing cells stay below."""
    surprising: float
    """How many of a clean batch would be above it."""


def expect(rows: Array, reference: Reference, *, seed: int = SEED) -> Expected:
    """Simulate clean batches with the size and the missing cells of this one.

    Parameters
    ----------
    rows
        New patients, UCI codes, shape (m, 13), NaN = not known.
    reference
        The trusted patients.
    seed
        Of the simulated batches.
    """
    clean, which = reference.losses(np.isnan(rows))
    loss = float(clean.mean(axis=1)[which].mean())
    usual = np.quantile(clean, 1.0 - FALSE_ALARMS, axis=1)
    share = (clean > usual[:, None]).mean(axis=1)
    return Expected(
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
    return float(np.quantile(batch - _sums(own, len(own), rng) / len(own), 1.0 - FALSE_ALARMS))


def _sums(values: Array, count: int, rng: np.random.Generator) -> Array:
    """Draw `count` of the values with replacement, `DRAWS` times; return the sums."""
    if count <= len(values):
        drawn: Array = values[rng.integers(len(values), size=(DRAWS, count))]
        return np.asarray(drawn.sum(axis=1))
    # How often each value is drawn: the memory does not grow with the batch.
    times = rng.multinomial(count, np.full(len(values), 1.0 / len(values)), DRAWS)
    return np.asarray(times @ values)


def judge(y: Array, p: Array, expected: Expected) -> Verdict:
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
    loss, surprising = float(found.mean()), int((found > expected.usual).sum())
    accept = loss <= expected.limit
    return Verdict(
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


def _excess(loss: Array, y: Array, p: Array, excess: float) -> tuple[Surprise, ...]:
    most = np.argsort(-loss, kind="stable")[: max(0, round(excess))]
    own = np.where(y == 1, p, 1.0 - p)
    return tuple(Surprise(int(i) + 1, int(y[i]), round(float(own[i]), 4)) for i in most)


def log_loss(y: Array, p: Array) -> Array:
    """Return each patient's surprise, -log of the probability of the label; 0 = none."""
    return np.asarray(-np.log(np.clip(np.where(y == 1, p, 1.0 - p), 1e-12, 1.0)))


def check(patients: Patients, name: str, model: Model, reference: Reference) -> Verdict:
    """Audit a file's patients, then judge their labels."""
    audit = audit_patients(patients, name)
    n = 0 if patients.disease is None else int(patients.disease.notna().sum())
    if audit.label_inverted:
        score = audit.label_check.score
        return Verdict(False, f"the label is turned round: 1 marks the healthy ({score:+.2f})", n)
    if audit.errors:
        where = f"{audit.errors[0].column}: " if audit.errors[0].column else ""
        return Verdict(None, f"the audit refuses the file: {where}{audit.errors[0].message}", n)
    if patients.features is None or patients.disease is None or n < MIN_PATIENTS:
        return Verdict(None, f"{n} patients with a label; {MIN_PATIENTS} are needed", n)
    known = patients.disease.notna().to_numpy()
    rows = patients.features.to_numpy(dtype=float)[known]
    y = patients.disease.to_numpy(dtype=float)[known]
    found = judge(y, model.score(rows).probability, expect(rows, reference))
    numbers = np.flatnonzero(known) + 1
    named = tuple(
        Surprise(int(numbers[row.patient - 1]), row.label, row.probability) for row in found.rows
    )
    return Verdict(**{**vars(found), "rows": named})


def exit_code(found: Verdict) -> int:
    """Return 0 = may enter, 1 = refused, 3 = cannot be judged."""
    return {True: EXIT_MAY_ENTER, False: EXIT_REFUSED, None: EXIT_NOT_JUDGED}[found.accept]


def report(name: str, found: Verdict) -> str:
    """Write the verdict in words."""
    head = {True: "MAY ENTER", False: "REFUSED", None: "NOT JUDGED"}[found.accept]
    lines = [f"{name}: {head}: {found.reason}"]
    if found.loss is None:
        return lines[0]
    lines.append(
        f"mean log-loss of {found.n} labels {found.loss:.3f}; "
        f"clean patients {found.clean_loss:.3f}, "
        f"limit {found.limit:.3f} (1 clean batch in 20 is above it)"
    )
    lines.append(
        f"surprising labels: {found.surprising}; of {found.n} clean patients "
        f"{found.expected:.1f} would be"
    )
    lines += [
        f"  patient {row.patient}: label {row.label}, expected {row.probability:.1%}"
        for row in found.rows[:SHOWN]
    ]
    if len(found.rows) > SHOWN:
        lines.append(f"  and {len(found.rows) - SHOWN} more (--json lists all)")
    return "\n".join(lines)


def trusted(model_dir: Path, path: Path) -> tuple[Model, Reference]:
    """Load the trusted model and the patients that it was fitted to.

    Raises
    ------
    ModelError
        When there is no model, or it was fitted to another file.
    DataError
        When the file cannot be read.
    """
    model, patients = load(model_dir), read(path)
    if patients.sha256 != model.provenance["data_sha256"]:
        raise ModelError(f"the model was not trained on {path.name}: name its file with --trusted")
    assert patients.features is not None and patients.disease is not None  # noqa: S101, PT018 - trained on
    known = patients.disease.notna()
    y = patients.disease[known].to_numpy(dtype=float)
    if model.provenance["label_corrected"]:
        y = 1.0 - y
    rows = patients.features[known].to_numpy(dtype=float)
    return model, Reference(rows, y, float(model.provenance["c"]))


def main() -> int:
    """Judge one file from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.gate",
        description="May newly labelled patients enter training?",
        epilog="exit code: 0 = may enter, 1 = refused, 2 = the file cannot be read (or wrong "
        "usage), 3 = cannot be judged (no model, no label, or the audit refuses the file)",
    )
    parser.add_argument("file", type=Path, help="CSV of new patients with a label")
    parser.add_argument("--json", action="store_true", help="write JSON instead of words")
    codings = [Coding.UCI.value, Coding.KAGGLE.value]
    parser.add_argument("--coding", choices=codings, help="the coding, when it cannot be told")
    parser.add_argument(
        "--trusted", type=Path, default=HEART_CSV, help="what the model learnt from"
    )
    arguments = parser.parse_args()
    try:
        coding = Coding(arguments.coding) if arguments.coding else None
        patients = read(arguments.file, coding)
        with threadpool_limits(1):
            model, reference = trusted(load_settings().model_dir, arguments.trusted)
            found = check(patients, arguments.file.name, model, reference)
    except DataError as error:
        print(f"gate: {error}", file=sys.stderr)
        return EXIT_UNREADABLE
    except (ModelError, SettingsError) as error:
        print(f"gate: {error}", file=sys.stderr)
        return EXIT_NOT_JUDGED
    text = json.dumps(found.to_dict(), indent=2) if arguments.json else None
    print(text or report(arguments.file.name, found))
    return exit_code(found)


if __name__ == "__main__":
    sys.exit(main())
