"""What the Drift page says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from textwrap import wrap
from typing import Any

from dashboard.shared.findings import in_a_sentence
from dashboard.shared.numbers import NBSP, listed, percent, times
from dashboard.shared.texts import whose
from pipeline.drift.hypothesis_tests.test_families import MISSING, VALUES
from pipeline.drift.result import DriftResult, FeatureDrift, Verdict
from pipeline.schema import BY_NAME

LEAD = "Have the patients changed since the model was trained? Then its answers may be wrong."
REFERENCES: Mapping[str, str] = {"training": "Training data", "before": "The same time before"}
NOTHING_TITLE = "No prediction in this window"
NOTHING = "Choose a longer period, or another source."
RANKED_NOTE = (
    "One look at 5 %: if nothing has changed, one window in twenty alarms by chance, over all "
    "findings together. Longer bars are harder to explain by chance; the words say how far the "
    "values moved. Click a bar to look closer."
)
PAIRS_NOTE = (
    "How two findings go together, as a rank correlation: +1 they rise together, 0 they do not "
    "depend on each other, −1 one rises as the other falls."
)
RISK_NOTE = (
    "The risk that the model predicts for these patients. It moves when the patients change, "
    "rightly or wrongly: whether the answers are still right, only outcomes can tell."
)
HISTORY_NOTE = (
    "One verdict a day from the monitor, each on that day and on the week that ends with it. "
    "Together they raise one false alarm in twenty months of days without drift, so a day needs "
    "stronger evidence than the one look above. A dot: this finding had changed; the larger, the "
    "further."
)
NO_HISTORY = (
    "The monitor has not looked yet. `make monitor` looks at every day that has ended and keeps "
    "one report for each."
)
CLASSIFIER_NOTE = (
    "A classifier is trained to tell this window's patients from the reference's. If nothing has "
    "changed, it cannot: its AUC is 0.5 within chance. It sees changes in how findings go together "
    "that no finding shows alone. It takes about a minute, in a process of its own."
)
FAMILIES: Mapping[str, str] = {
    "values": "values", "levels": "shares of categories",
    "missing": "missing shares", "tails": "extremes and units",
    "digits": "rounding",
    "relations": "relations between findings",
    "pairs": "pairs of findings", "together": "all findings together",
    "given the others": "each finding given the others",
    "column": "each finding, alone and given the others",
}  # fmt: skip
SAMPLED = (
    "The window has more predictions than are tested row by row: values, missing shares and "
    "extremes rest on all of them, pairs on a random sample of 5,000."
)
NOT_EXACT = "Predictions wait to be counted; of those, only the newest are in these figures."
STORY_NOTE = "These patients are replayed, and this was done to them on purpose:"


COLUMNS: Mapping[str, str] = {
    "feature": "Finding",
    "drift": "Changed",
    "p_adjusted": "Adjusted p",
    "effect": "Effect",
    "psi": "PSI",
    "wasserstein": "Wasserstein",
    "share_difference": "Share, difference",
    "missing_reference": "Not known, reference",
    "missing_current": "Not known, window",
    "test": "Test",
    "statistic": "Statistic",
    "p_value": "p on its own",
    "reason": "In words",
}
"""Columns of `DriftResult.frame` -> headings of the table."""


def label(name: str) -> str:
    """Return a finding's name for people."""
    return BY_NAME[name].label


def wrapped(name: str) -> str:
    """Return a finding's name in short lines, for the side of a chart."""
    return "<br>".join(wrap(label(name), 22))


def join_labels(names: Sequence[str]) -> str:
    """Return findings as "Sex, chest pain and age"."""
    return listed([label(names[0]), *(in_a_sentence(label(name)) for name in names[1:])])


def verdict(result: DriftResult | None, source: str, period: str, since: Mapping[str, str]) -> str:
    """Say in one sentence whether a window has drifted.

    Parameters
    ----------
    result
        None when there was no prediction.
    source, period
        Where the patients come from; the window, as "in the last 24 hours".
    since
        Finding -> since when it is known to have changed, as "12 Nov".
    """
    if result is None or not result.n_current:
        return f"Nothing to compare: no prediction {period}."
    patients = f"{whose(result.n_current, source)} {period}"
    if result.verdict is Verdict.NOT_ENOUGH:
        return f"Not enough data to tell whether anything has changed: {patients}."
    if result.verdict is Verdict.NONE_SEEN:
        shift = result.detectable_shift
        power = f"; a shift of {shift:.2g} SD would have been seen" if shift else ""
        return f"No drift seen in {patients}{power}."
    if result.drifted:
        return f"{_changed(result, since)} in {patients}."
    pair = next((pair for pair in result.pairs if pair.drift), None)
    if pair is not None:
        return (
            f"{join_labels((pair.a, pair.b))} go together differently than before, in {patients}."
        )
    if result.look_first is not None:
        look = f"look first at {in_a_sentence(label(result.look_first))}"
        return f"The patients have changed, no finding alone is certain; {look}: {patients}."
    return f"The patients have changed as a whole, no single finding stands out: {patients}."


def _changed(result: DriftResult, since: Mapping[str, str]) -> str:
    first = result.drifted[0]
    begun = f" since {since[first]}" if first in since else ""
    others = [in_a_sentence(label(name)) for name in result.drifted[1:3]]
    more = len(result.drifted) - 1 - len(others)
    if more > 0:
        others.append(f"{more} more")
    also = (
        f", and so {'have' if len(others) > 1 or more else 'has'} {listed(others)}"
        if others
        else ""
    )
    reason = result.features[first].reason.replace(" %", f"{NBSP}%")
    return f"{label(first)} has drifted{begun} ({reason}){also},"


def compared_with(reference: str, n: int) -> str:
    """Say what the window is compared with."""
    if reference == "training":
        return f"Compared with the {n:,} patients of the training data."
    return f"Compared with {times(n, 'prediction')} of the same time before."


def p_value(p: float) -> str:
    """Write a p-value."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def effect(found: FeatureDrift) -> str:
    """Say how far a finding's values moved, or how much more or less often they are known."""
    if found.drift and found.p_values.get(MISSING, 1.0) < found.p_values.get(VALUES, 1.0):
        before, now = percent(found.missing_reference), percent(found.missing_current)
        return f"not known: {before} → {now}"
    if BY_NAME[found.name].is_numeric:
        return f"{found.effect:.2f} SD"
    return f"{percent(found.effect)} of patients"


def numbers_of(found: FeatureDrift) -> list[tuple[str, str]]:
    """Return the figures about one finding: what is measured, and its value."""
    feature, far = BY_NAME[found.name], found.distance
    unit = f"{NBSP}{feature.unit}" if feature.unit else ""
    rows = [
        ("Verdict", f"{'changed' if found.drift else 'no change seen'}: {found.reason}"),
        ("Adjusted p-value", p_value(found.p_adjusted)),
    ]
    rows += [
        (f"… of its {FAMILIES.get(family, family)}", p_value(p))
        for family, p in found.p_values.items()
    ]
    rows += [
        (found.test.name, f"{found.test.statistic:.3g}, {p_value(found.test.p_value)} on its own"),
        ("Population stability index", f"{far.psi:.2f} (two halves of 303 patients reach 0.24)"),
    ]
    if far.wasserstein is not None and far.difference is not None:
        rows.append(("Wasserstein distance", f"{far.wasserstein:.3g}{unit}"))
        rows.append(("Mean, window minus reference", f"{far.difference:+.3g}{unit}"))
    if far.share_difference is not None and far.level is not None:
        word = feature.words.get(far.level, str(far.level))
        rows.append((f"Share of “{word}”", f"{100 * far.share_difference:+.0f} points"))
    rows.append(
        ("Not known", f"{percent(found.missing_reference)} → {percent(found.missing_current)}")
    )
    if found.unit_error is not None:
        rows.append(("Looks like another unit", found.unit_error.sentence))
    return rows


def risk(before: float, now: float, error: float) -> str:
    """Say how much the predicted risk moved."""
    moved = now - before
    if abs(moved) < 1.96 * error or error == 0:
        return (
            f"The predicted risk is {percent(now)} on average, as in the reference within chance."
        )
    way = "higher" if moved > 0 else "lower"
    return (
        f"The predicted risk is {percent(now)} on average, {abs(100 * moved):.0f} points {way} "
        f"than in the reference ({percent(before)})."
    )


def history(days: Sequence[Any]) -> str:
    """Count the alarms of the monitor."""
    alarms = sum(day.drift for day in days)
    last = next((day for day in reversed(days) if day.drift), None)
    when = f", the last on {day_of(last.since)}" if last else ""
    return f"{times(alarms, 'alarm')} in {times(len(days), 'day')}{when}."


def day_of(moment: datetime) -> str:
    """Write a day."""
    return f"{moment.day} {moment:%b %Y}"


def classifier(found: Mapping[str, Any]) -> str:
    """Say what the classifier could tell."""
    if not found["enough_data"]:
        return str(found["reason"])
    low, high = found["auc_holdout_interval"]
    tells = "can tell" if found["drift"] else "cannot tell"
    by = found["importances"][0]["feature"]
    most = f", most of all by {in_a_sentence(label(by))}" if found["drift"] else ""
    return (
        f"It {tells} this window from the reference{most}: AUC {found['auc_cv']:.2f} "
        f"cross-validated, {found['auc_holdout']:.2f} on patients held out (95{NBSP}% interval "
        f"{low:.2f} to {high:.2f}); {p_value(found['p_value'])} by {found['permutations']} "
        "permutations."
    )
