"""Texts of the model card on data, model details, limitations and criteria: plain text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import Any

from dashboard.shared.findings import in_a_sentence
from dashboard.shared.numbers import NBSP, count_noun, join_words, percent, signed
from pipeline.dataset.heart import DISEASE
from pipeline.fairness.result import Grouping, Verdict
from pipeline.model.reference import Population
from pipeline.schema import SENSITIVE


def data(of: Population) -> str:
    """Return who the training patients are, and in which file."""
    return f"{of.statement()}. File: {of.file} (sha256 {of.sha256[:12]})."


def audit_points(of: Mapping[str, Any], found: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what the audit of the training file found."""
    check = found["label_check"]
    labels = {True: "is inverted", False: "is not inverted", None: "could not be checked"}
    corrected = "; inverted before training" if of["label_corrected"] else ""
    problems = [
        f"{p['severity'].capitalize()}: {p['column'] + ': ' if p['column'] else ''}{p['message']}."
        for p in found["problems"]
    ]
    n = len(found["duplicates"])
    duplicates = f"{count_noun(n, 'group')} of identical patients" if n else "none"
    return (
        f"Coding: {found['coding']} ({found['coding_evidence']}).",
        f"Label: {found['label']} {labels[found['label_inverted']]}{corrected} (mean rank "
        f"correlation with the indicator findings {signed(check['score'])}; "
        "below 0 = inverted).",
        f"Duplicates: {duplicates}.",
        *(problems or ["No other problems: no unit errors, no implausible values."]),
    )


def value_range(known: Mapping[float, int], unit: str) -> str:
    """Return smallest, largest and median of counted values."""
    if not known:
        return "–"
    values = sorted(known)
    reached = accumulate(known[value] for value in values)
    half = sum(known.values()) / 2
    median = next(v for v, n in zip(values, reached, strict=True) if n >= half)
    return f"{values[0]:g} to {values[-1]:g}, median {median:g} {unit}".rstrip()


DETAILS = (
    "A scorecard: each finding contributes points in log-odds, and an unknown finding has its own "
    "points. Training is deterministic: the same data give the same version."
)


def model_details(found: Mapping[str, Any]) -> dict[str, str]:
    """Return what identifies the model and how it was fitted."""
    evidence = found["evidence"]
    treatment = next(r for r in evidence["treatments"]["table"] if r["chosen"])
    software = ", ".join(f"{name} {version}" for name, version in evidence["software"].items())
    return {
        "Version": f"{found['version']} (first digits of the scorecard's SHA-256)",
        "Kind": f"logistic regression, L2 penalty C = {treatment['c']:g}, written as a scorecard",
        "Missing-value handling": f"{evidence['treatments']['served']}, selected from "
        f"{len(evidence['treatments']['table'])} methods on these data",
        "Threshold": f"positive at a probability of {percent(found['threshold'])} or more",
        "Accuracy, out of fold": f"{percent(evidence['cross_validation']['accuracy']['mean'])} ± "
        f"{percent(evidence['cross_validation']['accuracy']['sd'])} over the folds, "
        f"{evidence['treatments']['repeats']} x {evidence['treatments']['folds']}-fold",
        "Software": software,
    }


def limits(of: Population) -> tuple[str, ...]:
    """Return the limits of use."""
    known = join_words([in_a_sentence(feature.label) for feature in SENSITIVE])
    return (
        f"Selected sample: {of.statement()}. Where disease is rarer, the model overestimates the "
        "risk; where it is more common, it underestimates it.",
        f"Disease means only: {DISEASE}. The model does not predict later events and gives no "
        "treatment advice.",
        f"The 95{NBSP}% interval of the estimate reflects the uncertainty of the fit, not a "
        "patient's outcome or differences between hospitals.",
        "Explanations describe the model, not causes: a finding that increases the estimated risk "
        "need not cause disease, and changing it need not change the risk.",
        f"Fairness is assessed by {known}; other attributes are not recorded.",
    )


CRITERIA = "Each can be checked, and each would be a reason to retrain or withdraw the model."
MIN_AUC, MAX_CALIBRATION_ERROR = 0.8, 0.1
"""In external validation, below this AUC or above this error it is no help (our judgement)."""


def withdrawal_criteria(
    evidence: Mapping[str, Any], groupings: Iterable[Grouping]
) -> tuple[str, ...]:
    """Return what would be a reason to retrain or withdraw the model."""
    met = any(o["auc"] < MIN_AUC or o["ece"] > MAX_CALIBRATION_ERROR for o in evidence["external"])
    seen = " (met: see External validation above)" if met else ""
    return (
        f"External validation with an AUC below {MIN_AUC:g} or an expected calibration error above "
        f"{100 * MAX_CALIBRATION_ERROR:.0f} percentage points{seen}.",
        "A challenger preferred by the selection rule in all ten repeats (cardiowatch train "
        "--full).",
        *(text for grouping in groupings for text in _unsettled(grouping)),
        "Recorded outcomes that contradict the predictions (PUT /predictions/{id}/outcome records "
        "them; make monitor compares them with the predictions).",
        "Input drift that persists for days: patients differ from the training data.",
        "Evidence of wrong labels in the training data: the Poisoning page shows the effect of "
        f"20{NBSP}% wrong labels.",
    )


def _unsettled(grouping: Grouping) -> list[str]:
    gap = next((g for g in grouping.gaps if g.metric == "recall"), None)
    if gap is None or gap.verdict is Verdict.NO_GAP:
        return []
    if gap.verdict is Verdict.GAP:
        return [
            f"A gap in sensitivity ({gap.group} minus {gap.against}) that grows with more data."
        ]
    return [
        f"A gap in sensitivity between {gap.group} and {gap.against} patients: inconclusive, needs "
        f"about {gap.n_needed:,} with disease per group."
    ]
