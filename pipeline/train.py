"""Train the model: audit the data, fit the scorecard, measure it, write the model folder."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import numpy as np
from threadpoolctl import threadpool_limits

from errors import FAILED, NO, UNDECIDABLE, CardiowatchError
from pipeline.audit import Audit, audit_patients
from pipeline.dataset.duplicates import occur_in
from pipeline.dataset.heart import HEART_CSV, Coding, ColumnMapping, read_patients, reading_options
from pipeline.gate.check import labelled_rows
from pipeline.gate.power import measure as measure_gate
from pipeline.model import Model, from_json
from pipeline.model.design_matrix import Array, build_design_matrix, standardise
from pipeline.model.logistic_regression import bootstrap_coefficients
from pipeline.poisoning import MAX_SEEDS, SEEDS
from pipeline.poisoning import run as poison
from pipeline.schema import FEATURES
from pipeline.training.evidence import (
    SERVED_METHOD,
    audit_summary,
    evaluate_challengers,
    evaluate_imputation,
    external_validation,
)
from pipeline.training.evidence_unknown import evaluate_unknown_range
from pipeline.training.imputation import SEED, augment_with_missingness
from pipeline.training.reference import build_reference, bundled_reference
from pipeline.training.scorecard_writer import build_scorecard, write_bundle
from pipeline.training.sklearn_pipeline import coefficients, fit_sklearn_pipeline
from settings import load_settings

N_BOOTSTRAP = 400  # the ends of a 95 % interval then rest on 10 sets each
MIN_PER_CLASS = 20  # five folds need some of either class
GATE_SPLITS = 100  # a quarter of what `pipeline.gate.power` takes by default: 6 s of CPU
PARITY_TOLERANCE = 1e-12  # log-odds arithmetic in two orders; anything above is another model


class TrainError(CardiowatchError):
    """The model cannot be trained on this file; one sentence says why."""

    def __init__(self, sentence: str, exit_code: int = UNDECIDABLE) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code


@dataclass(frozen=True)
class LabelledPatients:
    """Patients that are fit for training or validation."""

    rows: Array
    y: Array
    audit: Audit
    sha256: str
    corrected: bool


def load_labelled(
    path: Path,
    correct_label: bool = False,
    mapping: ColumnMapping | None = None,
    coding: Coding | None = None,
    allow_duplicates: bool = False,
) -> LabelledPatients:
    """Return the patients of a file that passes the audit, one of each exact duplicate.

    Raises
    ------
    DataError
        When the file cannot be read.
    TrainError
        When it fails the audit or has no trustworthy label.
    """
    patients = read_patients(path, coding, mapping)
    result = audit_patients(patients, path.name, allow_duplicates)
    _insist(result, correct_label)
    rows, y = labelled_rows(patients, correct_label)
    return LabelledPatients(rows, y, result, patients.sha256, correct_label)


def without_overlap(
    other: LabelledPatients, data: LabelledPatients
) -> tuple[LabelledPatients, int]:
    """Return another hospital's patients without those that are trained on, and their number.

    Raises
    ------
    TrainError
        When fewer than `MIN_PER_CLASS` of a class are left.
    """
    new = ~occur_in(other.rows, data.rows)
    y = other.y[new]
    overlap = int((~new).sum())
    if overlap and min(y.sum(), (1 - y).sum()) < MIN_PER_CLASS:
        raise TrainError(
            f"{overlap} of {len(new)} patients of {other.audit.file} are training patients, and "
            "too few others are left: validate on patients that the model has not seen"
        )
    return replace(other, rows=other.rows[new], y=y), overlap


def _insist(result: Audit, correct_label: bool) -> None:
    """Raise on an audit error, except an inverted label that is to be corrected."""
    if result.label is None:
        raise TrainError(f"{result.file} has no label (disease, num or target)")
    errors = [e for e in result.errors if not (result.label_inverted and e.column == result.label)]
    if errors:
        where = f"{errors[0].column}: " if errors[0].column else ""
        raise TrainError(f"{result.file} fails the audit: {where}{errors[0].message}")
    if result.label_inverted is None:
        raise TrainError(f"{result.file}: cannot tell whether the label is inverted")
    if correct_label and not result.label_inverted:
        raise TrainError(f"{result.file}: the label is not inverted, leave out --correct-label")
    if result.label_inverted and not correct_label:
        inverted = next(e.message for e in result.errors if e.column == result.label)
        text = f"{result.file} fails the audit: {inverted}; --correct-label inverts it"
        raise TrainError(text, NO)


def fit(data: LabelledPatients, c: float) -> Model:
    """Fit the scorecard and hold it against the scikit-learn pipeline that it was fitted with.

    Raises
    ------
    TrainError
        When the two differ by more than `PARITY_TOLERANCE` on any patient.
    """
    pipeline = fit_sklearn_pipeline(data.rows, data.y, c)
    beta = coefficients(pipeline)
    center, scale = standardise(data.rows)
    copies, shares = augment_with_missingness(data.rows)
    sets = bootstrap_coefficients(
        build_design_matrix(copies, center, scale), data.y, shares, c, beta, N_BOOTSTRAP, SEED
    )
    provenance = {
        "data_sha256": data.sha256,
        "n": len(data.y),
        "n_disease": int(data.y.sum()),
        "label_corrected": data.corrected,
        "model": "logistic regression",
        "missing_values": SERVED_METHOD,
        "c": c,
        "bootstrap_sets": N_BOOTSTRAP,
        "seed": SEED,
    }
    model = from_json(build_scorecard(beta, sets, data.rows, center, scale, provenance))
    expected = pipeline.predict_proba(copies)[:, 1]
    apart = float(np.abs(model.score(copies).probability - expected).max())
    if apart > PARITY_TOLERANCE:
        raise TrainError(f"the scorecard differs from scikit-learn by {apart:.1e}", FAILED)
    return model


def train(
    data: LabelledPatients, others: Sequence[LabelledPatients], full: bool, seeds: int = SEEDS
) -> tuple[Model, dict[str, Any]]:
    """Choose C, fit, measure; return the model and its evidence.

    Parameters
    ----------
    data
        The training patients.
    others
        Patients of other hospitals, a file each; never seen by the fit.
    full
        Measure the challengers in all repeats.
    seeds
        Draws of the poisoning grid.
    """
    _say("comparing imputation methods (10 x 5-fold)")
    treatments, c = evaluate_imputation(data.rows, data.y)
    _say(f"fitting the scorecard and {N_BOOTSTRAP} bootstrap sets (C = {c:g})")
    model = fit(data, c)
    _say("comparing with random forest and gradient boosting")
    challengers = evaluate_challengers(data.rows, data.y, c, full)
    for chosen, served in (
        (treatments["chosen"], SERVED_METHOD),
        (challengers["champion"], "logistic"),
    ):
        if not chosen.startswith(served):
            _say(f"note: on these data the rule prefers {chosen}; the scorecard is served")
    _say("explaining the challengers with shap")
    from pipeline.training.evidence_explanations import (
        evaluate_explanations,  # shap takes 3 s to import
    )

    explanations = evaluate_explanations(data.rows, data.y, model)
    if not explanations["challengers"]:
        _say("note: shap is not installed, so the challengers are not explained")
    _say("measuring the range over unknown findings")
    unknown_range = evaluate_unknown_range(data.rows, data.y, c)
    _say(f"poisoning the labels: 5 attacks, 3 defences, {seeds} seeds")
    poisoned = poison(data.rows, data.y, seeds=seeds, c=c, progress=_bar).to_dict()
    poisoned["settings"]["data"] = data.audit.file
    _say(f"measuring the gate for new labels: {GATE_SPLITS} splits")
    gate = measure_gate(data.rows, data.y, c, splits=GATE_SPLITS, progress=_bar)
    evidence = {
        "version": model.version,
        "data": {
            "file": data.audit.file,
            "sha256": data.sha256,
            "n": len(data.y),
            "n_disease": int(data.y.sum()),
            "missing": dict(data.audit.missing),
            "label_corrected": data.corrected,
            "duplicates": sum(len(group) - 1 for group in data.audit.duplicates),
        },
        "audit": audit_summary(data.audit),
        "cross_validation": treatments.pop("cross_validation"),
        "confidence": treatments.pop("confidence"),
        "fairness": treatments.pop("fairness"),
        "explanations": explanations,
        "unknown_range": unknown_range,
        "poisoning": poisoned,
        "gate": gate.to_dict(),
        "treatments": treatments,
        "challengers": challengers,
        "external": [_external(model, other, data) for other in others],
        "software": {name: version(name) for name in ("numpy", "scikit-learn")},
    }
    return model, evidence


def _external(model: Model, other: LabelledPatients, data: LabelledPatients) -> dict[str, Any]:
    new, overlap = without_overlap(other, data)
    measured = external_validation(new.y, model.score(new.rows).probability, other.audit.missing)
    return {
        "file": other.audit.file, "sha256": other.sha256, "training_patients": overlap, **measured
    }  # fmt: skip


def _trainable(data: LabelledPatients) -> LabelledPatients:
    """Check that there are enough patients; blank the findings that do not vary among them."""
    smaller = int(min(data.y.sum(), (1 - data.y).sum()))
    if smaller < MIN_PER_CLASS:
        raise TrainError(
            f"{smaller} patients in the smaller class; at least {MIN_PER_CLASS} needed"
        )
    rows = data.rows.copy()
    for feature, column in zip(FEATURES, rows.T, strict=True):
        if len(np.unique(column[~np.isnan(column)])) < 2 and not feature.required:
            column[:] = np.nan
            _say(f"note: {feature.name} has fewer than two different values; the model is without")
    return replace(data, rows=rows)


_started = time.perf_counter()


def _say(text: str) -> None:
    print(f"train: {time.perf_counter() - _started:5.1f} s  {text}", file=sys.stderr, flush=True)


def _bar(done: float) -> None:
    """Draw a progress bar on a terminal."""
    if sys.stderr.isatty():
        end = "\r" if done < 1 else "\r\033[K"
        print(f"train: [{'#' * round(30 * done):30}] {done:4.0%}", end=end, file=sys.stderr)


_FILE = click.Path(path_type=Path)


@click.command("train")
@click.option(
    "--data", type=_FILE, default=HEART_CSV, show_default="data/heart.csv", help="The patients."
)
@click.option("--model-dir", type=_FILE, help="Where to write it; default: the setting.")
@click.option("--correct-label", is_flag=True, help="Correct an inverted label and train.")
@reading_options
@click.option(
    "--external",
    type=_FILE,
    multiple=True,
    help="Another hospital's patients to validate on; may be given more than once.",
)
@click.option("--full", is_flag=True, help="Challengers in all 10 repeats (about half a minute).")
@click.option(
    "--seeds",
    type=click.IntRange(2, MAX_SEEDS),
    default=SEEDS,
    show_default=True,
    help="Draws of the poisoning grid.",
)
@click.option("--hospital", help="Whose patients they are: the name of the hospital.")
@click.option("--years", help="When they came, as in: 1981-1984.")
@click.option(
    "--keep-rows",
    is_flag=True,
    help="Keep the patients beside the model: correlations, the domain classifier, the gate and "
    "poisoning need them. They are readable by the owner alone, and in no image or export.",
)
def command(
    data: Path,
    model_dir: Path | None,
    correct_label: bool,
    external: tuple[Path, ...],
    full: bool,
    seeds: int,
    hospital: str | None,
    years: str | None,
    keep_rows: bool,
    **reading: Any,
) -> None:
    """Train the model.

    Audits the patients, fits the scorecard, measures it and writes the folder of the model: half a
    minute, and the same to the last digit in every run. One of each exact duplicate is kept, so
    that none is in two folds. --coding, --mapping and --allow-duplicates are about --data.
    """
    folder = model_dir or load_settings().model_dir
    patients = load_labelled(data, correct_label, **reading)
    others = [load_labelled(path) for path in external]
    for other in others:
        overlap = without_overlap(other, patients)[1]
        if overlap:
            _say(f"note: {overlap} patients of {other.audit.file} are training patients: left out")
    patients = _trainable(patients)
    # One thread: matrices this small only wait for each other, and sums keep their order.
    try:
        with threadpool_limits(1):
            model, evidence = train(patients, others, full, seeds)
    except ArithmeticError as error:
        raise TrainError(f"{data.name}: {error}", FAILED) from error
    reference = bundled_reference(model) or build_reference(
        patients.rows,
        patients.y,
        model,
        file=data.name,
        sha256=patients.sha256,
        hospital=hospital,
        years=years,
        keep_rows=keep_rows,
    )
    write_bundle(folder, model.scorecard, evidence, reference)
    _say(f"model {model.version} is in {folder}")


if __name__ == "__main__":
    from cardiowatch import deprecated

    sys.exit(deprecated("train"))
