"""Texts of the Drift page."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from statistics import fmean
from textwrap import wrap
from typing import Any

from dashboard.shared.escaping import escape_markdown
from dashboard.shared.findings import in_a_sentence
from dashboard.shared.numbers import NBSP, count_noun, day, join_words, p_value, percent, signed
from dashboard.shared.texts import count_of_source
from pipeline.drift import ClassifierResult
from pipeline.drift.hypothesis_tests.test_families import MISSING, VALUES
from pipeline.drift.repeats import MANY_NEAR_REPEATS
from pipeline.drift.result import DriftResult, FeatureDrift, Verdict
from pipeline.schema import BY_NAME

LEAD = "Input drift: do the current patients differ from the reference? Predictions may suffer."
REFERENCES: Mapping[str, str] = {"training": "Training data", "before": "Previous window"}


def cohort_alpha(words: str, looked_at: int, alpha: float) -> str:
    """Return which cohort is compared, and at which significance level."""
    return (
        f"Cohort: **{escape_markdown(words)}**, on both sides. Each cohort looked at is one more "
        f"chance of a false alarm: {count_noun(looked_at, 'cohort')} in this visit, so this one is "
        f"tested at a level of {percent(alpha, 1)}."
    )


NOTHING_TITLE = "No predictions in this window"
NOTHING = "Choose a longer window or another source."
SIGNIFICANCE_NOTE = (
    "Significance level 5 % for all findings together: without drift, 1 window in 20 raises a "
    "false alarm. Longer bars = smaller adjusted p-values; the label is the effect size. Click a "
    "bar for details."
)
CORRELATIONS_NOTE = (
    "Rank correlation of two findings: +1 = they rise together, 0 = no monotonic association, −1 = "
    "one rises as the other falls."
)
RISK_NOTE = (
    "The estimated risk shifts when the patients change; only outcomes show whether predictions "
    "are still accurate."
)
RISK_SHARES_NOTE = (
    "From the reference's mean risk to the window's, finding by finding (Shapley values of the "
    "model; they sum to the difference). They show what moved the estimates, not whether patients "
    "or records changed."
)
HISTORY_NOTE = (
    "One monitoring run per day, covering that day and the 7 days ending with it. Without "
    "drift, its significance level allows one false alarm in 20 months, so a single day needs "
    "stronger evidence than the comparison above. Dots mark drifted findings; larger = larger "
    "effect size."
)
NO_HISTORY = "No monitoring runs yet. `make monitor` runs monitoring for each completed day."
CLASSIFIER_NOTE = (
    "A classifier is trained to separate the window from the reference (classifier two-sample "
    "test). Without drift its AUC stays near 0.5. It detects multivariate drift that no single "
    "finding shows, and is not part of the verdict above."
)
CALIBRATION_NOTE = (
    "Measured with the data set that comes with the program, on thousands of simulated windows "
    "with and without drift. An alarm without drift is a false positive; drift without an alarm is "
    "a false negative. docs/drift.md lists each scenario beside other tests."
)
NOT_CALIBRATED = "Not measured yet: run `cardiowatch calibrate`."
TEST_FAMILIES: Mapping[str, str] = {
    "values": "values", "levels": "category shares",
    "missing": "missing rate", "tails": "extremes and units",
    "digits": "rounding", "shape": "shape",
    "relations": "correlations", "dependence": "spread and missing values with others",
    "pairs": "pairs of findings", "together": "multivariate",
    "given the others": "conditional on the other findings",
    "column": "univariate and conditional",
}  # fmt: skip
SAMPLED = (
    "Large window: values, missing rates and extremes use all predictions; correlations use a "
    "random sample of 5,000."
)
NOT_EXACT = (
    "Some recent predictions are not in the rollups yet; only the newest of them are included."
)

COLUMNS: Mapping[str, str] = {
    "feature": "Finding",
    "drift": "Drift",
    "p_adjusted": "Adjusted p-value",
    "effect": "Effect size",
    "psi": "PSI",
    "wasserstein": "Wasserstein",
    "share_difference": "Difference in share",
    "missing_reference": "Missing, reference",
    "missing_current": "Missing, window",
    "test": "Test",
    "statistic": "Statistic",
    "p_value": "Unadjusted p-value",
    "reason": "Description",
}
"""Columns of `DriftResult.frame` -> headings of the table."""


def label(name: str) -> str:
    """Return the label of a finding."""
    return BY_NAME[name].label


def wrapped_label(name: str) -> str:
    """Return the label in short lines, for the side of a chart."""
    return "<br>".join(wrap(label(name), 22))


def join_labels(names: Sequence[str]) -> str:
    """Return findings as "Chest pain, resting blood pressure and age"."""
    return join_words([label(names[0]), *(in_a_sentence(label(name)) for name in names[1:])])


def verdict(result: DriftResult, n: int, source: str, window: str, since: Mapping[str, str]) -> str:
    """Return in one sentence whether a window has drifted.

    Parameters
    ----------
    n, source, window
        Number of predictions; where they come from; the window, as "in the last 24 hours".
    since
        Finding -> the first day of its drift, as "12 Nov".
    """
    if not n:
        return f"No predictions {window}."
    patients = f"{count_of_source(n, source)} {window}"
    if result.verdict is Verdict.INSUFFICIENT_DATA:
        return f"Inconclusive, too few data: {patients}."
    if result.verdict is Verdict.NO_DRIFT:
        shift = result.detectable_shift
        power = f"; smallest detectable shift {shift:.2g} SD (80{NBSP}% power)" if shift else ""
        return f"No drift detected in {patients}{power}."
    return f"Input drift detected in {patients}: {_what_drifted(result, since)}."


def notes(result: DriftResult) -> list[str]:
    """Say which values may be in another unit without drift, and how many rows repeat a patient."""
    wrong = [f.unit_error.sentence for f in result.features.values() if f.unit_error]
    said = [f"Not drift, but to be checked: {one}." for one in wrong if not result.drift]
    if result.repeats:
        n, total = result.n_current, result.n_current + result.repeats
        said.append(
            f"{count_noun(total, 'prediction')} of {count_noun(n, 'patient')}: one of each, drawn "
            "at random, is tested."
        )
    if result.near_repeats >= MANY_NEAR_REPEATS:
        said.append(
            f"{100 * result.near_repeats:.0f}{NBSP}% of the predictions nearly repeat another one. "
            "If they are of the same patients, this test raises false alarms: send patient "
            "references with the requests."
        )
    return said


def _what_drifted(result: DriftResult, since: Mapping[str, str]) -> str:
    if result.drifted:
        return _drifted_findings(result, since)
    pair = next((pair for pair in result.pairs if pair.drift), None)
    if pair is not None:
        return f"correlation of {in_a_sentence(join_labels((pair.a, pair.b)))} changed"
    first = result.look_first
    likely = f", most likely {in_a_sentence(label(first))}" if first is not None else ""
    return f"multivariate, no single finding identified{likely}"


def _drifted_findings(result: DriftResult, since: Mapping[str, str]) -> str:
    first, *others = result.drifted
    begun = f" since {since[first]}" if first in since else ""
    reason = result.features[first].reason.replace(" %", f"{NBSP}%")
    named = [in_a_sentence(label(name)) for name in others[:2]]
    more = [f"{len(others) - 2} more"] if len(others) > 2 else []
    also = f"; also {join_words(named + more)}" if others else ""
    return f"{in_a_sentence(label(first))}{begun} ({reason}){also}"


def training_data(statement: str, version: str, versions: Sequence[str]) -> str:
    """Return the reference, and which of several models' predictions are compared with it."""
    only = ""
    if len(versions) > 1:
        others = join_words([escape_markdown(other) for other in versions if other != version])
        only = f" Only its predictions are compared; others in this window: model {others}."
    said = f"training data of model {escape_markdown(version)} ({escape_markdown(statement)})"
    return f"Reference: {said}.{only}"


def previous_window(n: int, versions: Sequence[str]) -> str:
    """Return the reference with its size, and the models of the window."""
    models = join_words([escape_markdown(version) for version in versions])
    several = f" Predictions of the models {models}." if len(versions) > 1 else ""
    return (
        f"Reference: previous window of the same length ({count_noun(n, 'prediction')}).{several}"
    )


def effect(found: FeatureDrift) -> str:
    """Return the effect size of a finding, or the change of its missing rate."""
    if found.drift and found.p_values.get(MISSING, 1.0) < found.p_values.get(VALUES, 1.0):
        before, now = percent(found.missing_reference), percent(found.missing_current)
        return f"missing: {before} → {now}"
    if BY_NAME[found.name].is_numeric:
        return f"{found.effect:.2f} SD"
    return f"{percent(found.effect)} of patients"


def statistics_rows(found: FeatureDrift) -> list[tuple[str, str]]:
    """Return the statistics of one finding: name and value."""
    feature, far = BY_NAME[found.name], found.distance
    unit = f"{NBSP}{feature.unit}" if feature.unit else ""
    rows = [
        ("Verdict", f"drift: {found.reason}" if found.drift else found.reason),
        ("Adjusted p-value", p_value(found.p_adjusted)),
    ]
    rows += [
        (f"p-value: {TEST_FAMILIES.get(family, family)}", p_value(p))
        for family, p in found.p_values.items()
    ]
    rows += [
        (found.test.name, f"{found.test.statistic:.3g}, {p_value(found.test.p_value)} unadjusted"),
        ("Population stability index", f"{far.psi:.2f} (rises by chance where patients are few)"),
    ]
    if far.wasserstein is not None and far.difference is not None:
        rows.append(("Wasserstein distance", f"{far.wasserstein:.3g}{unit}"))
        rows.append(("Mean, window minus reference", f"{signed(far.difference)}{unit}"))
    if far.share_difference is not None and far.level is not None:
        word = feature.code_labels.get(far.level, str(far.level))
        rows.append((f"Share of “{word}”", f"{100 * far.share_difference:+.0f} percentage points"))
    rows.append(
        ("Missing", f"{percent(found.missing_reference)} → {percent(found.missing_current)}")
    )
    if found.unit_error is not None:
        rows.append(("Possible unit error", found.unit_error.sentence))
    return rows


def prediction_drift(before: float, now: float, error: float) -> str:
    """Return the mean estimated risk and its difference from the reference."""
    mean, moved = f"Mean estimated risk {percent(now)}", now - before
    if abs(moved) < 1.96 * error or error == 0:
        return f"{mean}, no significant difference from the reference."
    points = count_noun(round(abs(100 * moved)), "percentage point")
    way = "higher" if moved > 0 else "lower"
    return f"{mean}, {points} {way} than in the reference ({percent(before)})."


def risk_steps(steps: Sequence[tuple[str, float]]) -> str:
    """Return the steps of the waterfall in words, for a screen reader."""
    said = [f"{name} {signed(100 * moved)}" for name, moved in steps]
    return "Change of the mean risk in percentage points: " + ", ".join(said)


def history(days: Sequence[Any]) -> str:
    """Return the number of drift alarms."""
    alarms = [run for run in days if run.drift]
    when = f", the last on {day(alarms[-1].since)}" if alarms else ""
    return f"{count_noun(len(alarms), 'drift alarm')} in {count_noun(len(days), 'day')}{when}."


def classifier(found: ClassifierResult) -> str:
    """Return the result of the classifier test."""
    if not found.enough_data:
        return found.reason
    low, high = found.auc_interval
    by = in_a_sentence(label(found.importances[0].feature))
    said = f"Drift detected, most important finding: {by}" if found.drift else "No drift detected"
    return (
        f"{said}. Cross-validated AUC {found.auc:.2f} (95{NBSP}% interval {low:.2f} to {high:.2f}; "
        f"0.5 = cannot tell them apart); {p_value(found.p_value)} ({found.permutations:,} "
        "permutations)."
    )


def calibration(found: Mapping[str, Any]) -> str:
    """Return the highest false positive rate, and mean and lowest power."""
    worst = max(found["clean"], key=lambda row: row["alarms"])
    said = (
        f"False positive rate at most {percent(worst['alarms'], 1)} (upper 95 % limit "
        f"{percent(worst['upper_95'], 1)})."
    )
    for n in sorted({row["n"] for row in found["power"]}):
        rows = [row for row in found["power"] if row["n"] == n]
        least = min(rows, key=lambda row: row["power"])
        said += (
            f" Power with {n} patients: {percent(fmean(r['power'] for r in rows))} on average over "
            f"{len(rows)} drift scenarios, lowest {percent(least['power'])} "
            f"({_with_labels(least['what'])})."
        )
    return said


def _with_labels(scenario: str) -> str:
    """Return the name of a drift scenario with the labels of its features."""
    return re.sub(
        rf"\b({'|'.join(BY_NAME)})\b", lambda name: in_a_sentence(BY_NAME[name[0]].label), scenario
    )
