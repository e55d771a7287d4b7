"""Request a prediction, compare it with that of a changed patient, vary one finding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from dashboard.auth import login
from dashboard.pages.patient import case as visit
from dashboard.pages.patient import form, texts
from dashboard.pages.patient.case import Case
from dashboard.shared import data_access, findings, numbers, scorecards, widgets
from dashboard.shared import texts as shared_texts
from dashboard.shared.api_client import (
    ApiUnavailable,
    AuthenticationFailed,
    LogUnavailable,
    RequestRejected,
)
from dashboard.shared.prediction import charts, entries
from dashboard.shared.prediction import panels as prediction_panels
from dashboard.shared.prediction import texts as prediction_texts
from dashboard.shared.prediction.entries import Wire
from dashboard.shared.prediction.panels import Prediction
from pipeline.dataset.heart import ACTIONS, REASONS, Coding, decoder
from pipeline.model import Model
from pipeline.schema import BY_NAME, FEATURES, NAMES

_CURVE_STEPS = 40


@st.fragment
@login.requires_page("patient")
def entry(name: str, source: str) -> None:
    """Draw a form and answer its requests; the whole page is drawn again after an answer."""
    case = visit.current()
    target = case if name == "patient" else case.changed
    if target is not None and target.asked:
        _estimate(target, source, case.entries.get(visit.REFERENCE, ""))
    if target is None or case.redraw or target.redraw:
        st.rerun()
    form.draw(name, target)


def _estimate(case: Case, source: str, reference: str) -> None:
    """Request a prediction of the entries; nothing is requested while one of them is refused."""
    case.asked = False
    reading, revision = entries.read(case.entries), case.revision
    if reading.refused:
        case.answer(texts.refused(list(reading.refused)), reading.refused)
    elif reading.missing:
        labels = [BY_NAME[name].label for name in reading.missing]
        case.answer(texts.missing_required(labels), reading.missing)
    else:
        response = _request(case, reading.findings, source, reference)
        if response is not None:
            found = Prediction(reading.findings, response)
            case.answer(texts.estimate_summary(found))
            case.estimate, case.estimated_revision = found, revision
            case.changed = Case(entries=entries.write(reading.findings))
            data_access.clear_cache()


def _request(
    case: Case, sent: Mapping[str, Wire], source: str, reference: str
) -> Mapping[str, Any] | None:
    """Return the API's answer; without one, tell the case why."""
    try:
        return data_access.client().predict(
            sent, source, key=case.key, reference=reference, user=login.acting_user()
        )
    except ApiUnavailable:
        case.answer(f"{shared_texts.API_DOWN_TITLE}. {shared_texts.API_DOWN}")
    except LogUnavailable:
        case.answer(f"{shared_texts.LOG_UNAVAILABLE_TITLE}. {shared_texts.LOG_UNAVAILABLE}")
    except AuthenticationFailed:
        case.answer(f"{shared_texts.KEY_REJECTED_TITLE}. {shared_texts.KEY_REJECTED}")
    except RequestRejected as refusal:
        by_finding = {name: text for name, text in refusal.errors if name in BY_NAME}
        others = " ".join(text for name, text in refusal.errors if name not in BY_NAME)
        said = texts.refused(list(by_finding)) if by_finding else others or refusal.detail
        case.answer(said or prediction_texts.NO_REASON, by_finding)
    return None


@st.fragment
@login.requires_page("patient")
def response(found: Prediction) -> None:
    """Ask what the clinician makes of an estimate; nothing waits for the answer."""
    id_ = found.response["id"]
    with widgets.card(texts.RESPONSE_TITLE):
        with st.form("response", border=False):
            decision = st.segmented_control(
                "Decision", list(texts.DECISIONS), format_func=texts.DECISIONS.__getitem__,
                key=f"decision_{id_}",
            )  # fmt: skip
            with st.grid(2, min_column_width=200, gap="small") as halves:
                with halves.cell():
                    reason = _code("Reason (optional)", REASONS, f"reason_{id_}")
                with halves.cell():
                    action = _code("Next step (optional)", ACTIONS, f"action_{id_}")
            pressed = st.form_submit_button("Record response")
        client, user = data_access.client(), login.acting_user()
        st.caption(texts.response_note(user, client.names_users))
        if pressed and decision is None:
            st.warning(texts.NO_DECISION)
        elif pressed:
            said = {"decision": decision, "reason": reason, "action": action}
            prediction_panels.recorded(
                lambda: client.record_response(id_, said, user), texts.RESPONSE_RECORDED
            )


def _code(label: str, words: Mapping[str, str], key: str) -> str | None:
    return st.selectbox(
        label, list(words), index=None, format_func=words.__getitem__, placeholder="Not given",
        key=key,
    )  # fmt: skip


def changed_mark(name: str) -> None:
    """Draw the mark of an estimate beside changed entries; form.css shows it when they are."""
    with st.container(key=f"{name}_stale"):
        st.markdown(f":orange[**{prediction_texts.CHANGED}**]")


def what_if(case: Case) -> None:
    """Compare with a changed patient; that prediction is logged as what-if."""
    if case.estimate is None or case.changed is None:
        return
    case.changed.redraw = False
    with st.expander("What if a finding were different?"):
        st.markdown(texts.WHAT_IF)
        entry("changed", "what-if")
        if case.changed.estimate is not None:
            changed_mark("changed")
            with st.container(key="changed_result"):
                _compare(case.estimate, case.changed.estimate)


def _compare(original: Prediction, found: Prediction) -> None:
    st.header("Comparison", anchor=False)
    st.markdown(texts.comparison(original.probability, found.probability))
    widgets.echarts_chart(
        charts.risk_intervals(
            [
                ("Original patient", original.probability, original.interval),
                ("Changed patient", found.probability, found.interval),
            ],
            found.response["threshold"],
        ),
        f"Original {numbers.probability(original.probability)}, "
        f"changed {numbers.probability(found.probability)}",
        150,
        "comparison_range",
    )
    names = [n for n in BY_NAME if original.findings.get(n) != found.findings.get(n)]
    if not names:
        st.caption("No finding was changed.")
        return
    rows = [
        {
            "Finding": BY_NAME[name].label,
            "Original": findings.value_of(name, original.findings),
            "Changed": findings.value_of(name, found.findings),
            "Contribution, original": findings.format_contribution(name, original.response),
            "Contribution, changed": findings.format_contribution(name, found.response),
        }
        for name in names
    ]
    widgets.table(rows, "Changed findings with their contributions in log-odds")
    st.caption(texts.WHAT_IF_NOTE)


@st.fragment
@login.requires_page("patient")
def curve(found: Prediction) -> None:
    """Draw the estimated risk over all values of one finding, from the model that made it."""
    with widgets.log_errors_shown():
        model = scorecards.scorecard(found.response["model_version"])
    if model is None:
        return
    with widgets.card("One finding from low to high"):
        st.markdown(texts.CURVE)
        name = str(
            st.selectbox(
                "Finding", NAMES, format_func=lambda n: BY_NAME[n].label, key="curve", width=360
            )
        )
        points = risk_curve(model, found.findings, name)
        known = found.findings.get(name) is not None
        widgets.echarts_chart(
            charts.risk_curve(BY_NAME[name], points, found.probability, known),
            f"Estimated risk for each value of {findings.in_a_sentence(BY_NAME[name].label)}: "
            f"{numbers.probability(points[0][1])} to {numbers.probability(points[-1][1])}",
            320,
            "risk_curve",
        )


def risk_curve(model: Model, patient: Mapping[str, Wire], name: str) -> list[tuple[float, float]]:
    """Return (code, probability) of a patient with each value of one finding, from low to high.

    A measurement runs over the range of the training data and the patient's own value. The model is
    additive, so each point is exact.
    """
    tables = [decoder(feature, Coding.LABELS) for feature in FEATURES]
    row: list[Any] = [
        value if table is None or value is None else table[value]  # type: ignore[index]
        for table, value in zip(tables, map(patient.get, NAMES), strict=True)
    ]
    at = NAMES.index(name)
    table, own = tables[at], row[at]
    if table is None:
        held = [] if own is None else [own]
        low, high = (of([*model.training_range[name], *held]) for of in (min, max))
        steps = range(_CURVE_STEPS + 1)
        codes = {*held, *(low + (high - low) * i / _CURVE_STEPS for i in steps)}
    else:
        codes = {code for code in table.values() if code is not None}
    return [(code, model.probability([*row[:at], code, *row[at + 1 :]])) for code in sorted(codes)]
