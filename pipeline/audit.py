"""Audit a CSV of patients: coding, inverted label, duplicates, missing cells, limits, units.

The popular Kaggle heart.csv calls the healthy `target = 1`. A model trained on it tells sick
patients that they are well, so the label is checked against what every hospital sees: disease goes
with chest pain on exercise, ST depression, coloured vessels and a *lower* highest heart rate.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import click
import pandas as pd

from errors import NO, UNDECIDABLE
from pipeline.dataset.heart import (
    Coding,
    ColumnMapping,
    LabelCheck,
    Patients,
    check_label,
    decoder,
    file_argument,
    find_unit_errors,
    is_inverted,
    json_option,
    read_patients,
    reading_options,
    start_of,
)
from pipeline.schema import BY_NAME, FEATURES, NAMES, TARGET, Kind

MAX_DUPLICATED_SHARE = 0.1
"""Of the rows; 0 to 1 % in the four hospitals' own files, 70 % in a popular copy of one."""


class Severity(StrEnum):
    """What a problem means for training."""

    ERROR = "error"
    """Training rejects the file."""
    WARNING = "warning"
    """Worth a look; training continues."""
    NOTE = "note"
    """Good to know."""


@dataclass(frozen=True)
class Problem:
    """One finding, in a sentence."""

    severity: Severity
    column: str | None
    message: str


@dataclass(frozen=True)
class Audit:
    """What the audit found."""

    file: str
    n: int
    n_disease: int | None
    """Patients with disease according to the label as given; None without a label."""
    coding: str | None
    """`uci`, `kaggle` or `labels`; None = inconclusive."""
    coding_evidence: str
    label: str | None
    label_inverted: bool | None
    """None = inconclusive: no label, one class only, too few patients, or no clear direction."""
    label_check: LabelCheck
    duplicates: tuple[tuple[int, ...], ...]
    """Groups of equal patients, numbered from 1."""
    missing: Mapping[str, int]
    """Missing cells per feature."""
    problems: tuple[Problem, ...]

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems for which training rejects the file, an inverted label included."""
        return tuple(p for p in self.problems if p.severity is Severity.ERROR)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    def frame(self) -> pd.DataFrame:
        """Return one row per problem: severity, column, message."""
        rows = [asdict(problem) for problem in self.problems]
        return pd.DataFrame(rows, columns=["severity", "column", "message"])


def audit(
    path: str | Path,
    coding: Coding | None = None,
    mapping: ColumnMapping | None = None,
    allow_duplicates: bool = False,
) -> Audit:
    """Audit one file.

    Parameters
    ----------
    path
        A CSV of patients, as `pipeline.dataset.heart.read_patients` takes it.
    coding
        The coding of its integer codes when it is known; None = detect it.
    mapping
        Columns to rename and values to recode.
    allow_duplicates
        Make a warning of many duplicated rows, not an error.

    Raises
    ------
    DataError
        When the file cannot be read as patients at all.
    """
    return audit_patients(read_patients(path, coding, mapping), Path(path).name, allow_duplicates)


def audit_patients(patients: Patients, name: str, allow_duplicates: bool = False) -> Audit:
    """Audit patients that have been read."""
    check = check_label(patients.raw, patients.disease)
    inverted = is_inverted(check, patients.disease)
    groups = _duplicates(patients)
    known = patients.raw if patients.features is None else patients.features
    problems = [
        *_label_problems(patients, check, inverted),
        *_coding_problems(patients),
        *_limit_problems(patients),
        *(Problem(Severity.ERROR, c, text) for c, text in find_unit_errors(patients.raw)),
        *_duplicate_problems(groups, patients, allow_duplicates),
        *(Problem(Severity.WARNING, column, text) for column, text in patients.warnings),
        *(Problem(Severity.NOTE, None, text) for text in patients.notes),
    ]
    disease = patients.disease
    return Audit(
        file=name,
        n=len(patients),
        n_disease=None if disease is None else int((disease == 1).sum()),
        coding=None if patients.coding is None else str(patients.coding),
        coding_evidence=patients.coding_evidence,
        label=patients.label_name,
        label_inverted=inverted,
        label_check=check,
        duplicates=groups,
        missing={feature: int(known[feature].isna().sum()) for feature in NAMES},
        problems=tuple(problems),
    )


def _label_problems(patients: Patients, check: LabelCheck, inverted: bool | None) -> list[Problem]:
    name, disease = patients.label_name, patients.disease
    if disease is None:
        return [Problem(Severity.NOTE, None, "there is no label (disease, num or target)")]
    found = []
    unlabelled, classes = int(disease.isna().sum()), sorted(disease.dropna().unique())
    positive = patients.label_positive
    if inverted:
        text = (
            f"the label is inverted: {name} = {positive} marks the healthy "
            f"(mean signed rank correlation {check.score:.2f}, below 0)"
        )
        found.append(Problem(Severity.ERROR, name, text))
    elif len(classes) == 1:
        text = (
            f"every patient has the same label ({'disease' if classes[0] else 'no disease'}); "
            "patients with and without disease are needed"
        )
        found.append(Problem(Severity.ERROR, name, text))
    elif inverted is None:
        text = "inconclusive whether the label is inverted: too few patients or no clear direction"
        severity = Severity.WARNING
        if positive != "1" and classes:
            text += "; say which value is disease in a file for --mapping, which begins "
            text += start_of(values={TARGET: {"1": "no disease", "2": "disease"}})
            severity = Severity.ERROR
        found.append(Problem(severity, name, text))
    if unlabelled:
        found.append(Problem(Severity.WARNING, name, f"{unlabelled} patients have no label"))
    return found


def _coding_problems(patients: Patients) -> list[Problem]:
    found = []
    if patients.coding is None:
        text = f"cannot tell the coding: {patients.coding_evidence}"
        found.append(Problem(Severity.ERROR, None, text))
    absent = ((name, f"there is no column {name}") for name in patients.missing_columns)
    return found + [Problem(Severity.WARNING, name, text) for name, text in absent]


def _limit_problems(patients: Patients) -> list[Problem]:
    """Find codes that do not exist and measurements outside the plausible limits."""
    found = []
    for feature in FEATURES:
        values = patients.raw[feature.name].dropna()
        if feature.required and len(values) < len(patients):
            n = len(patients) - len(values)
            text = f"{n} patients without {feature.name}, which is required"
            found.append(Problem(Severity.ERROR, feature.name, text))
        if feature.zero_is_missing and (values == 0).any():
            text = f"{int((values == 0).sum())} values of 0 are read as missing"
            found.append(Problem(Severity.NOTE, feature.name, text))
            values = values[values != 0]
        if feature.kind is Kind.NUMBER:
            wrong = values[(values < feature.low) | (values > feature.high)]
            limits = f"{feature.low:g} to {feature.high:g} {feature.unit}"
        elif patients.coding is None:
            continue
        else:
            allowed = _allowed(patients, feature.name)
            wrong = values[~values.isin(allowed)]
            limits = ", ".join(f"{code:g}" for code in allowed)
        if len(wrong):
            lines = ", ".join(str(patients.lines[i]) for i in wrong.index[:5])
            lines += ", ..." * (len(wrong) > 5)
            text = f"{len(wrong)} values outside the limits ({limits}): lines {lines}"
            found.append(Problem(Severity.ERROR, feature.name, text))
    return found


def _allowed(patients: Patients, name: str) -> list[float]:
    used = Coding.UCI if patients.coding in (None, Coding.LABELS) else patients.coding
    if name in patients.text_columns:
        used = Coding.UCI
    return sorted(float(code) for code in decoder(BY_NAME[name], used) or {})


def _duplicates(patients: Patients) -> tuple[tuple[int, ...], ...]:
    frame = patients.raw.copy()
    if patients.disease is not None:
        frame["label"] = patients.disease
    twins = frame[frame.duplicated(keep=False)]
    groups = twins.groupby(list(frame.columns), dropna=False, sort=False).groups.values()
    return tuple(sorted(tuple(int(i) + 1 for i in group) for group in groups))


def _duplicate_problems(
    groups: tuple[tuple[int, ...], ...], patients: Patients, allowed: bool
) -> list[Problem]:
    if not groups:
        return []
    first = " and ".join(str(patients.lines[i - 1]) for i in groups[0][:2])
    extra = sum(len(group) - 1 for group in groups)
    text = f"{extra} duplicated patient{'s' * (extra > 1)}, the first on lines {first}"
    if extra <= MAX_DUPLICATED_SHARE * len(patients) or allowed:
        text += "; one of each is kept in training"
        return [Problem(Severity.WARNING, None, text)]
    text += (
        f": {extra / len(patients):.0%} of the rows; remove them, or --allow-duplicates keeps one "
        "of each"
    )
    return [Problem(Severity.ERROR, None, text)]


def report(result: Audit) -> str:
    """Return the audit in words."""
    check = result.label_check
    verdict = {True: "INVERTED", False: "not inverted", None: "cannot tell"}
    ill = "no label" if result.n_disease is None else f"{result.n_disease} with disease"
    coding = f"{result.coding} ({result.coding_evidence})" if result.coding else "cannot tell"
    lines = [
        f"{result.file}: {result.n} patients, {ill}",
        f"coding: {coding}",
        f"label:  {verdict[result.label_inverted]}",
    ]
    if check.score is not None:
        each = ", ".join(f"{name} {r:+.2f}" for name, r in check.correlations.items())
        lines[-1] += f" (mean signed rank correlation {check.score:+.2f}; {each})"
    cells = ", ".join(f"{name} {n}" for name, n in result.missing.items() if n)
    lines.append(f"missing cells: {cells or 'none'}")
    for problem in result.problems:
        where = f"{problem.column}: " if problem.column else ""
        lines.append(f"{problem.severity}: {where}{problem.message}")
    return "\n".join(lines)


@click.command("audit")
@file_argument
@json_option
@reading_options
def command(file: Path, as_json: bool, **reading: Any) -> int:
    """Check a file of patients before it is trained on.

    Its coding, an inverted label, duplicates, missing cells, values outside the limits and in
    another unit. The file is CSV with the UCI columns, in UCI codes, Kaggle codes or words.

    Exit code 1: the label is inverted; 3: another error for which training rejects the file.
    """
    result = audit(file, **reading)
    print(json.dumps(result.to_dict(), indent=2) if as_json else report(result))
    if result.label_inverted:
        return NO
    return UNDECIDABLE if result.errors else 0


if __name__ == "__main__":
    from cardiowatch import deprecated

    sys.exit(deprecated("audit"))
