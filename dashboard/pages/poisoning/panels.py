"""The panels of the Poisoning page: verdict, curves, tables, limitations, a run of one's own."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard.navigation import APP
from dashboard.pages.poisoning import charts, data, texts
from dashboard.shared import job_panel, reference, widgets
from dashboard.shared.escaping import escape_markdown
from dashboard.shared.findings import in_a_sentence
from pipeline.model import ModelError
from pipeline.poisoning import C, PoisoningResult
from pipeline.poisoning.attacks import DISEASE_HIDDEN, RANDOM
from pipeline.poisoning.defences import DEFENCES, NO_DEFENCE
from pipeline.poisoning.experiment import GROUPS
from pipeline.poisoning.metrics import ExperimentCell

_FUNCTION = "pipeline.poisoning:run_job"
_SEEDS = (5, 30, 60, 100)
_PENALTIES = (0.01, 0.1, C, 1.0, 10.0)
_OFFERED = tuple(name for name in DEFENCES if name != NO_DEFENCE)
_STUDY_DOSE = 0.2
_STUDY = ("accuracy", "precision", "recall", "auc", "ece")


def no_results() -> None:
    """Draw the screen of a model without poisoning results."""
    widgets.heading(texts.TITLE, texts.LEAD)
    widgets.model_unavailable(texts.NOTHING_TITLE, texts.NOTHING)


def verdict(of: PoisoningResult) -> None:
    """Draw the verdict and its source."""
    rests_on = texts.source(of.settings, own=job_panel.result(data.JOB) is not None)
    st.caption(f"{texts.TITLE} · {APP} · {escape_markdown(rests_on)}")
    st.title(texts.verdict(*(cell.bands for cell in _study(of))), anchor=False)


def _study(of: PoisoningResult) -> tuple[ExperimentCell, ExperimentCell, ExperimentCell]:
    """Return the study project's cells: clean, 20 % random flips, 20 % disease hidden."""
    cells = {(c.attack, c.dose): c for c in of.cells if c.defence == NO_DEFENCE}
    return (
        cells[RANDOM.name, 0.0],
        cells[RANDOM.name, _STUDY_DOSE],
        cells[DISEASE_HIDDEN.name, _STUDY_DOSE],
    )


def dose_response(of: PoisoningResult) -> None:
    """Draw the controls, the dose-response curves and their values."""
    with widgets.card("Dose-response curves"):
        titles = {name: title for name, (title, _) in texts.ATTACKS.items()}
        attack = widgets.choice_selector("Attack", titles, RANDOM.name, "attack")
        with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
            measures = {name: title for name, (title, _) in texts.MEASURES.items()}
            measure = widgets.select("Measure", measures, "auc", "measure", width=260)
            defences = [NO_DEFENCE, *(name for name in _OFFERED if _is_shown(name))]
        title, note = texts.MEASURES[measure]
        st.markdown(f"{texts.ATTACKS[attack][1]} {title}: {in_a_sentence(note)}")
        cells = [cell for cell in of.cells if cell.attack == attack]
        widgets.plotly_chart(
            charts.curves(cells, measure, defences),
            f"{title} by poisoned share of the training data; numbers below",
            400,
            "curves",
        )
        st.caption(texts.BAND_NOTE)
        _curve_table(cells, measure, defences)


def _is_shown(defence: str) -> bool:
    return st.checkbox(texts.DEFENCES[defence], value=True, key=f"draw_{defence}")


def _curve_table(cells: Sequence[ExperimentCell], measure: str, defences: Sequence[str]) -> None:
    by_place = {(cell.dose, cell.defence): cell for cell in cells}
    doses = list(dict.fromkeys(cell.dose for cell in cells))
    first = next(iter(DEFENCES))
    columns = {"Poisoned share": [f"{100 * by_place[d, first].changed:.0f} %" for d in doses]}
    for name in defences:
        shown = [texts.format_band(measure, by_place[d, name].bands[measure]) for d in doses]
        columns[texts.DEFENCES[name]] = shown
    widgets.columns(columns, "Values of the curves")


def clean_vs_poisoned(of: PoisoningResult) -> None:
    """Draw the study project's table, with bands."""
    with widgets.card(texts.STUDY_TITLE):
        st.caption(texts.STUDY_NOTE)
        columns = {"Training labels": list(texts.STUDY_ROWS)}
        for name in _STUDY:
            columns[texts.MEASURES[name][0]] = [
                texts.format_band(name, cell.bands[name]) for cell in _study(of)
            ]
        widgets.columns(columns, "Clean versus poisoned")


def limits(of: PoisoningResult) -> None:
    """Draw the limitations."""
    with widgets.card(texts.LIMITS_TITLE):
        st.markdown(texts.limits(of.settings))


def run_form() -> None:
    """Draw the settings of a run, or its progress."""
    with widgets.card(texts.RUN_TITLE):
        st.markdown(texts.RUN)
        try:
            reference.current("the effect of other settings")
        except ModelError as error:
            st.info(reference.said(error))
            return
        if job_panel.unfinished(data.JOB, "poisoning", "Running"):
            return
        _settings()
        if job_panel.result(data.JOB) is not None:
            st.button("Back to the results computed at training", on_click=_forget)


def _settings() -> None:
    with st.form("again", border=False):
        with st.container(horizontal=True, gap="medium"):
            st.selectbox("Seeds", _SEEDS, index=1, key="seeds", width=160)
            st.selectbox(
                "L2 penalty C (smaller = stronger)", _PENALTIES, index=2, key="c", width=280
            )
            st.selectbox("Attacked group", list(GROUPS), key="group", width=160)
        st.form_submit_button("Run", type="primary", on_click=_start)


def _start() -> None:
    chosen = {name: st.session_state[name] for name in ("seeds", "c", "group")}
    of = reference.current("the effect of other settings")
    assert of.rows is not None and of.disease is not None  # noqa: S101, PT018 - or it would raise
    patients = {"rows": reference.plain(of.rows), "disease": of.disease.tolist()}
    job_panel.submit(data.JOB, _FUNCTION, **patients, data=of.population.file, **chosen)


def _forget() -> None:
    st.session_state.pop(data.JOB, None)
