"""What the model card says of data, making, limits, and what would change our mind: plain text."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from typing import Any

from dashboard.pages.model_card.texts import NOT_A_DEVICE
from dashboard.shared.numbers import NBSP, percent, signed, times
from pipeline.fairness.result import Grouping, Verdict

DATA_TITLE = "Whom did it learn from?"


def data(found: Mapping[str, Any]) -> str:
    """Say how many patients, and from which file."""
    return (
        f"{found['n']} patients, {found['n_disease']} of them with disease "
        f"({percent(found['n_disease'] / found['n'])}), in {found['file']} "
        f"(sha256 {found['sha256'][:12]})."
    )


def audit(of: Mapping[str, Any], found: Mapping[str, Any]) -> tuple[str, ...]:
    """Say what the audit of the training file found."""
    check = found["label_check"]
    turned = {True: "is turned round", False: "is not turned round", None: "cannot be judged"}
    corrected = "; it was turned round before training" if of["label_corrected"] else ""
    problems = [
        f"{p['severity'].capitalize()}: {p['column'] + ': ' if p['column'] else ''}{p['message']}."
        for p in found["problems"]
    ]
    twins = len(found["duplicates"])
    return (
        f"Coding: {found['coding']} ({found['coding_evidence']}).",
        f"Label: {found['label']} {turned[found['label_inverted']]}{corrected} (mean rank "
        f"correlation with four telling findings {signed(check['score'])}; below 0 it would be).",
        f"Duplicates: {times(twins, 'group') + ' of equal patients' if twins else 'none'}.",
        *(problems or ["No other problem: no unit error, nothing outside the plausible limits."]),
    )


def spread(known: Mapping[float, int], unit: str) -> str:
    """Write smallest, largest and median of counted numbers."""
    if not known:
        return "–"
    values = sorted(known)
    reached = accumulate(known[value] for value in values)
    half = sum(known.values()) / 2
    median = next(v for v, n in zip(values, reached, strict=True) if n >= half)
    return f"{values[0]:g} to {values[-1]:g}, median {median:g} {unit}".rstrip()


MAKING_TITLE = "How was it made?"
MAKING = (
    "Points for each finding are added up, in log-odds; a finding that is not known has points of "
    "its own. Training is deterministic: the same data give the same version."
)


def making(found: Mapping[str, Any]) -> dict[str, str]:
    """List what identifies the model and how it was fitted."""
    evidence = found["evidence"]
    treatment = next(r for r in evidence["treatments"]["table"] if r["chosen"])
    software = ", ".join(f"{name} {version}" for name, version in evidence["software"].items())
    return {
        "Version": f"{found['version']} (first digits of the scorecard's SHA-256)",
        "Kind": f"logistic regression, L2 penalty C = {treatment['c']:g}, written as a scorecard",
        "Unknown findings": f"{evidence['treatments']['served']}, chosen among "
        f"{len(evidence['treatments']['table'])} treatments on these data",
        "Prediction": f"1 from a probability of {percent(found['threshold'])}",
        "Accuracy, out of fold": f"{percent(evidence['cross_validation']['accuracy']['mean'])} ± "
        f"{percent(evidence['cross_validation']['accuracy']['sd'])} over the folds, "
        f"{evidence['treatments']['repeats']} x {evidence['treatments']['folds']}-fold",
        "Made with": software,
    }


LIMITS_TITLE = "What is it not for?"
LIMITS = NOT_A_DEVICE


def limits(evidence: Mapping[str, Any]) -> tuple[str, ...]:
    """List the limits of use."""
    n, ill = evidence["data"]["n"], evidence["data"]["n_disease"]
    groups = {g["name"]: g["n"] for g in evidence["fairness"]["by_sex"]["groups"]}
    women = f", {groups['female']} of them women" if "female" in groups else ""
    return (
        f"Few and selected patients: {n}{women}, all referred for angiography; "
        f"{percent(ill / n)} had the disease. Where fewer have it, and above all in people without "
        "complaints, its percentages are too high.",
        "Disease means one thing here: a coronary artery narrowed by more than 50" + NBSP + "%. It "
        "does not predict a heart attack, and says nothing of treatment.",
        "The range beside an estimate is the model's: how sure the fit is, not what will happen to "
        "a patient, and it knows nothing of other hospitals.",
        "Reasons are about the model: a finding that raises the estimate need not bring about the "
        "disease, and changing it need not change the risk.",
        "Ethnicity, medication and follow-up are in no column; whether it treats such groups alike "
        "cannot be measured.",
    )


MIND_TITLE = "What would change our mind?"
MIND = "Each of these can be looked up, and would be a reason to fit anew or to stop."
BAD_AUC, BAD_OFF = 0.8, 0.1
"""Elsewhere: below this AUC, or this far off on average, the model is no help (our judgement)."""


def mind(evidence: Mapping[str, Any], grouping: Grouping) -> tuple[str, ...]:
    """List the findings that would speak against the model."""
    missed = any(o["auc"] < BAD_AUC or o["ece"] > BAD_OFF for o in evidence["external"])
    seen = ": so it is at a hospital above" if missed else ""
    return (
        f"Another hospital where the AUC is below {BAD_AUC:g} or the percentages are off by more "
        f"than {100 * BAD_OFF:.0f} points on average{seen}.",
        "A challenger that the rule prefers to it in all ten repeats (python -m pipeline.train "
        "--full).",
        *_unsettled(grouping),
        "Known outcomes that contradict the estimates: PUT /predictions/{id}/outcome records them, "
        "make monitor compares.",
        "Drift that stays for days: then the patients are others than those it learnt from.",
        "Proof that labels in the training file are wrong: the Poisoning page shows what one wrong "
        "label in five does.",
    )


def _unsettled(grouping: Grouping) -> list[str]:
    gap = next((g for g in grouping.gaps if g.metric == "recall"), None)
    if gap is None or gap.verdict is Verdict.NONE:
        return []
    if gap.verdict is Verdict.GAP:
        return [f"The gap in recall ({gap.group} minus {gap.against}) growing with more patients."]
    return [
        f"A gap in recall between {gap.group} and {gap.against}: it takes about {gap.n_needed:,} "
        "patients with disease in each to tell."
    ]
