"""Texts about one prediction; nothing here claims a cause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dashboard.shared.escaping import escape_markdown
from dashboard.shared.findings import in_a_sentence, warning
from dashboard.shared.numbers import per_hundred, percent, probability
from dashboard.shared.texts import SOURCES
from pipeline.dataset.heart import DISEASE as HAS_DISEASE
from pipeline.model.reference import Population
from pipeline.schema import BY_NAME
from pipeline.statistics import proportions

NOT_FOR_DIAGNOSIS = (
    "**Not for diagnosis.** This is the output of a statistical model. It is not a medical device "
    "and does not replace an examination or clinical judgement."
)
INTERVAL_LABEL = "95 % interval of the estimate (bootstrap), not of this patient's outcome"
CHANGED = "Entries changed - estimate again"
INTERVAL = "95 % interval of the estimate"
UNKNOWN_RANGE = "Range over unknown findings"
DISEASE = f"Disease: {HAS_DISEASE}."
NO_REASON = "The service rejected this without giving a reason. Contact your administrator."
NO_REASONS = "The explanation is unavailable at the moment."


def limits(of: Population | None) -> str:
    """Return whom the estimate fits, in one short sentence; None = not known."""
    if of is None:
        return "A statistical model of other patients than this one. Not a diagnosis."
    return (
        f"A model of {of.n:,} patients, {100 * of.prevalence:.0f} % with disease: too high where "
        "it is rarer, too low where it is commoner. Not a diagnosis."
    )


def natural_frequency(value: float, of: Population | None) -> str:
    """Return a probability as a natural frequency: a number of 100 patients like the training's."""
    count = per_hundred(value)
    whom = f": *{escape_markdown(of.statement())}*" if of else ""
    about = "Fewer than 1" if count == 0 else "More than 99" if count == 100 else f"About {count}"
    return (
        f"**{about} of 100 such patients would be expected to have disease**, if they were like "
        f"the training patients{whom}. Where disease is rarer, this estimate is too high; where it "
        "is commoner, too low."
    )


def at_prevalence(value: float, of: Population, here: float) -> str:
    """Return what an estimate would be if the prevalence alone differed from that in training."""
    shifted = probability(proportions.at_prevalence(value, of.prevalence, here))
    return (
        f"If {percent(here)} of the patients here have disease and only that differs from training "
        f"({percent(of.prevalence)}): about **{shifted}**. This number is not logged."
    )


def unknown_range(low_high: tuple[float, float], most_informative: str | None) -> str:
    """Return how far the unknown findings could move the estimate, and which would narrow it."""
    low, high = map(probability, low_high)
    said = (
        f"If they were known, the estimate would be expected between **{low} and {high}** for 95 "
        "of 100 such patients."
    )
    if most_informative is None:
        return said
    label = in_a_sentence(BY_NAME[most_informative].label)
    return f"{said} The {label} would narrow this most."


POINTS_NOTE = (
    "Percentage points: how much higher or lower the estimate is than with the average training "
    "patient's contribution for this finding. They do not add up; log-odds do."
)
REASONS_NOTE = (
    "Compared with the average training patient. These are associations in historical data; they "
    "do not show what a treatment would change."
)
WATERFALL_NOTE = (
    "Waterfall chart, read from top to bottom: it starts at the average training patient; each bar "
    "adds one finding, to the right if it increases the estimated risk, to the left if it "
    "decreases it; the last marker is this patient. The scale is log-odds, on which contributions "
    "add up: **0 = 50 %**; a bar of length 0 means no effect on the estimate. The top axis shows "
    "probabilities."
)


def rejection_message(errors: Sequence[tuple[str, str]], detail: str) -> str:
    """Return what is wrong with each field, or why the service rejected the request."""
    entries = "\n".join(f"- {warning(field, message)}" for field, message in errors)
    return entries or escape_markdown(detail) or NO_REASON


NOT_FOUND_TITLE = "Prediction not found"
NOT_FOUND = "There is no prediction with this ID, or it has been deleted."
OUTCOMES: Mapping[int, str] = {1: "Disease found", 0: "No disease"}
NO_OUTCOME = "Choose an outcome."
INVALID_DATE = "Enter the date as 2026-01-31, or leave it empty."
DATE_OUT_OF_RANGE = "The examination date must be between 1900 and today, for example 2026-01-31."
RECORDED = "Outcome recorded. Earlier entries stay in the log; the latest one counts."


def recorded_outcome(found: int | None) -> str:
    """Return the recorded outcome in a sentence."""
    if found is None:
        return "No outcome recorded."
    return f"Recorded outcome: **{OUTCOMES[found].lower()}**."


def prediction_header(row: Mapping[str, Any], when: str) -> str:
    """Return source, time, model, ID and API key of a prediction."""
    key = f" · API key {escape_markdown(row['key_id'])}" if row["key_id"] else ""
    return (
        f"{SOURCES[row['source']]} · {when} · model {escape_markdown(row['model_version'])}  \n"
        f"Prediction {row['id']}{key}"
    )
