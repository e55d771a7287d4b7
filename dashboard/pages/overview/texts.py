"""Texts of the Overview."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo
from pathlib import Path
from typing import Any

from dashboard.shared.escaping import escape_markdown
from dashboard.shared.numbers import count_noun, day, format_share, percent
from dashboard.shared.texts import count_of_source, source_phrase
from db.reader.queries import TimeBucket
from pipeline.fairness.result import MIN_GROUP_SIZE, Rate
from pipeline.monitoring.status_rules import CheckResult, overall_status
from pipeline.schema import BY_NAME

_ROUTES, _FIELDS, _REASONS = tomllib.loads(
    Path(__file__).with_name("rejections.toml").read_text("utf-8")
).values()
"""What is counted about rejected requests -> words."""


def rejection_reason(field: str, code: str) -> str:
    """Return why a request was rejected, from the counted field and reason code."""
    reason = _REASONS.get(code) or escape_markdown(code.replace("-", " ").replace("_", " "))
    if not field:  # not about a field
        return f"{reason[:1].upper()}{reason[1:]}"
    known = BY_NAME[field].label if field in BY_NAME else _FIELDS.get(field)
    return f"{known or escape_markdown(field)}: {reason}"


def route(path: str) -> str:
    """Return the name of an endpoint."""
    return _ROUTES.get(path) or escape_markdown(path)


def headline(*, ready: bool, run: Mapping[str, Any] | None, activity: str, source: str) -> str:
    """Return the worst that is true in one sentence.

    Parameters
    ----------
    ready : bool
        Whether the service is ready to predict.
    run : mapping or None
        The last monitoring run; None = none yet.
    activity : str
        What the service did in the window.
    source : str
        Of the predictions.
    """
    if not ready or run is None:
        return f"{STATE[ready]}: {activity}"
    if run["status"] != "green":
        return (
            f"{STATE[ready]}, but monitoring is {run['status']}. {escape_markdown(run['verdict'])}"
        )
    whom = "" if source == "live" else f" in {source_phrase(source)}"
    return f"{STATE[ready]}, and monitoring found no changes{whom}."


def activity(
    *, n: int, positive: int, source: str, window: str, rejections: int, newest: str
) -> str:
    """Return what the service did in one sentence.

    Parameters
    ----------
    n, positive : int
        Predictions in the window, and how many of them are positive.
    source : str
        Where they come from.
    window : str
        As "in the last 24 hours".
    rejections : int
        Rejection reasons in the window; a request may have several.
    newest : str
        When the newest prediction was made, in words.
    """
    if n == 0:
        return f"No predictions {window}; last prediction: {newest}."
    rejected = f"; {rejection_count(rejections)}" if rejections else ""
    # Of few, a percentage would claim too much.
    part = format_share(positive, n) if n >= 20 else str(positive)
    return f"{count_of_source(n, source)} {window}, {part} positive{rejected}."


Line = tuple[str, str]
"""A status, "unknown" where nothing was checked, and a sentence."""

_SPOKEN = 12
"""Steps of a chart that its alternative text lists."""

_CHECKS = (("drift", "quality", "data"), ("fairness",), ("accuracy", "estimated accuracy"))
"""The checks of a monitoring run behind each line of `monitoring_lines`."""


def monitoring_lines(
    run: Mapping[str, Any] | None,
    report: Mapping[str, Any] | None,
    outcomes: Sequence[tuple[float, int]],
) -> list[Line]:
    """Return what a monitoring run found: drift, fairness, calibration and outcomes.

    Parameters
    ----------
    run, report : mapping or None
        The last one and its report; None = no run yet.
    outcomes : sequence of tuple
        Estimated risk and outcome of the patients whose outcome is known.
    """
    if run is None or report is None or "findings" not in report:
        drift, fairness = (("unknown", f"{name}: not checked.") for name in ("Drift", "Fairness"))
        drift = drift if run is None else (run["status"], run["verdict"])
        return [drift, fairness, ("unknown", _outcomes(outcomes))]
    week, accuracy = report["n_week"], report["accuracy"]
    gaps = [g for one in report["fairness"]["rates"]["groupings"].values() for g in one["gaps"]]
    comparable = any(min(gap["n"]) >= MIN_GROUP_SIZE for gap in gaps)
    estimated = (accuracy["estimated"] or {}).get("accuracy")
    measured = accuracy["true"]["accuracy"] or estimated
    kind = "Estimated accuracy" if measured == estimated else "Accuracy"
    share = f"{kind} {percent(measured or 0)}, {percent(accuracy['training'])} in training."
    quiet: Sequence[Line] = (
        ("green", f"No drift detected in {count_noun(week, 'prediction')} of 7 days."),
        ("green", "Selection rates differ between groups no more than in training.")
        if comparable
        else ("unknown", f"Fairness: too few patients, {MIN_GROUP_SIZE} per group are needed."),
        ("green" if measured else "unknown", share if measured else "Accuracy: too few patients."),
    )
    lines = []
    for checks, line in zip(_CHECKS, quiet, strict=True):
        found = [CheckResult(**f) for f in report["findings"] if f["check"] in checks]
        worst, reason = overall_status(found)
        lines.append((str(worst), reason) if found else line)
    status, sentence = lines.pop()
    return [*lines, (status, f"{sentence} {_outcomes(outcomes)}")]


def _outcomes(known: Sequence[tuple[float, int]]) -> str:
    """Return how many patients had disease, and how many the model expected (calibration)."""
    if not known:
        return "No outcomes recorded in the last 30 days."
    expected, found = sum(risk for risk, _ in known), sum(outcome for _, outcome in known)
    return (
        f"Of {count_noun(len(known), 'patient')} with an outcome, {found:,} had disease; the model "
        f"expected {expected:,.0f}."
    )


def rejection_count(reasons: int) -> str:
    """Return the number of rejections; a request may count several times."""
    return count_noun(reasons, "rejection")


def rejections_note(n: int, window: str, shown: int) -> str:
    """Return the note above the table of rejected requests."""
    return (
        f"{rejection_count(n)} {window}; most recent first, at most {shown}. A request with three "
        "invalid fields counts three times; values are never stored."
    )


def overridden(total: Rate, window: str) -> str:
    """Return how many of the predictions that clinicians responded to they overrode."""
    if not total.n:
        return f"No responses to predictions {window}. The Patient page asks for one."
    return f"{count_noun(total.n, 'prediction')} {window} with a response, {_rate(total)}."


def override_row(attribute: str, group: str, rate: Rate) -> dict[str, str]:
    """Return the row of one group in the table of override rates."""
    name = BY_NAME[attribute].label if attribute in BY_NAME else attribute.capitalize()
    return {
        "Group": f"{name}: {group}",
        "Responses": f"{rate.n:,}",
        "Override rate": _rate(rate) if rate.enough_data else "too few",
    }


def _rate(rate: Rate) -> str:
    count = round((rate.value or 0) * rate.n)
    low, high = map(percent, rate.interval)
    few = "" if rate.enough_data else "; too few for a rate"
    return f"{count:,} overridden ({percent(rate.value or 0)}, 95 % interval {low} to {high}{few})"


OVERRIDE_NOTE = (
    f"The newest response to each prediction counts. Too few: fewer than {MIN_GROUP_SIZE} "
    "responses. Who responds is not a random sample of all predictions."
)
SHARE_NOTE = "Points based on few predictions are unreliable."
LATENCY_NOTE = (
    "From receiving the request to the computed probability, before the write to the database."
)


def of_newest(n: int) -> str:
    """Return of which predictions a figure is that is not of all in the window."""
    return f" of the newest {n:,}"


def latency_of_newest(n: int) -> str:
    """Return why the curve of latencies begins later than that of predictions."""
    return f" Only the newest {n:,} predictions are read for this."


STATE = {True: "The service is up", False: "The service is not responding"}
LEAD = "Service health and recent predictions."
API_DOWN = "Predictions are unavailable at the moment. The log is readable and complete."


_STATUS: Mapping[str, tuple[str, str]] = {
    "green": ("●", "Green"),
    "amber": ("▲", "Amber"),
    "red": ("■", "Red"),
    "unknown": ("○", ""),
}
"""Each with its own shape, so that colour is not the only sign."""


def no_monitoring_run(source: str) -> str:
    """Return that a source has no monitoring run, and how to start one."""
    return (
        f"No monitoring run yet for {source_phrase(source)}. `make run` starts one every hour; "
        "elsewhere schedule `cardiowatch monitor`. It checks drift, data quality, fairness and "
        "accuracy."
    )


def status(found: str) -> str:
    """Return a status with its shape, coloured."""
    shape, word = _STATUS[found]
    color = {"green": "green", "amber": "orange", "red": "red", "unknown": "gray"}[found]
    return f":{color}[**{f'{shape} {word}'.strip()}**]"


OVERDUE = "More than two days old. Is `cardiowatch monitor` still scheduled?"


def alert(opened: str, acknowledged: str | None, by: str, note: str | None) -> str:
    """Return the state of an open alert.

    Parameters
    ----------
    opened, acknowledged : str
        When, in words; None = not acknowledged.
    by, note : str
        Who did, and what they wrote; escaped.
    """
    since = f"**Alert** since {opened}"
    if acknowledged is None:
        return f"{since}, not acknowledged."
    return f"{since}, acknowledged by {by} on {acknowledged}{f': “{note}”' if note else '.'}"


def undelivered(n: int, error: str, due: str) -> str:
    """Return that alert messages could not be sent, and when that is tried again."""
    return (
        f"{count_noun(n, 'alert message')} could not be sent ({error}). The next monitoring run "
        f"after {due} tries again; `cardiowatch alerts test` tries the receivers now."
    )


ACKNOWLEDGE = "Acknowledge"
ACKNOWLEDGE_HELP = "Ends the reminders. The next green monitoring run resolves the alert."
NOTE = "Note (optional, no patient data)"
NOT_ACKNOWLEDGED = "The service is not responding, so the alert was not acknowledged. Try again."
KEY_CANNOT_OPERATE = (
    "The dashboard's API key lacks the role operate, so the alert was not acknowledged. An "
    "administrator can create a key with `cardiowatch keys create`."
)


def spoken(
    title: str, buckets: Sequence[TimeBucket], zone: tzinfo, value: Callable[[TimeBucket], str]
) -> str:
    """Return the alternative text of a chart over time: the values of its newest steps."""
    known = [bucket for bucket in buckets if bucket.n][-_SPOKEN:]
    times = [f"{day(start)}, {start:%H:%M}" for start in (b.start.astimezone(zone) for b in known)]
    listed = [f"{time}: {value(bucket)}" for time, bucket in zip(times, known, strict=True)]
    return f"{title}, newest {len(known)} steps with predictions: {'; '.join(listed)}"


def status_strip_alt(statuses: Sequence[str]) -> str:
    """Return the alternative text of the chart of statuses."""
    counts = [(statuses.count(name), word.lower()) for name, (_, word) in _STATUS.items()]
    listed = ", ".join(f"{count} {word}" for count, word in counts if count)
    return f"Last {count_noun(len(statuses), 'monitoring run')}: {listed}"


def source_note(source: str) -> str:
    """Return a note on the source if it is not live."""
    return "" if source == "live" else f"Based on {source_phrase(source)}."
