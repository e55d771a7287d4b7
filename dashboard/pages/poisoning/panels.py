"""The panels of the Poisoning page: verdict, curves, tables, limitations, a run of one's own."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard.auth import login
from dashboard.jobs import pool as jobs_pool
from dashboard.jobs.pool import Job, State
from dashboard.navigation import APP
from dashboard.pages.poisoning import charts, data, texts
from dashboard.shared import texts as shared_texts
from dashboard.shared import widgets
from dashboard.shared.escaping import escape_markdown
from dashboard.shared.findings import in_a_sentence
from pipeline.dataset.heart.csv_reader import HEART_CSV
from pipeline.poisoning import C, PoisoningResult
from pipeline.poisoning.attacks import DISEASE_HIDDEN, RANDOM
from pipeline.poisoning.defences import DEFENCES, NO_DEFENCE
from pipeline.poisoning.metrics import ExperimentCell, SeedInterval
from pipeline.schema import BY_NAME

_FUNCTION = "pipeline.poisoning:run_job"
_REFRESH_S = 1.0
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
    job: Job | None = st.session_state.get(data.JOB)
    own = job is not None and job.state is State.DONE
    rests_on = texts.source(of.settings, own=own)
    st.caption(f"{texts.TITLE} · {APP} · {escape_markdown(rests_on)}")
    clean, flips, hidden = _study(of)
    known = {name: clean.bands[name] or _nan() for name in ("auc", "recall")}
    sentence = texts.verdict(
        known,
        flips.bands["auc"] or _nan(),
        hidden.bands["auc"] or _nan(),
        hidden.bands["recall"] or _nan(),
    )
    st.title(sentence, anchor=False)


def _nan() -> SeedInterval:
    return SeedInterval(float("nan"), float("nan"), float("nan"))


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
        attack = widgets.choice_selector("Attack", texts.ATTACK_TITLES, RANDOM.name, "attack")
        with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
            measure = st.selectbox(
                "Measure", list(texts.MEASURES), index=list(texts.MEASURES).index("auc"),
                format_func=texts.MEASURES.__getitem__, key="measure", bind="query-params",
                width=260,
            )  # fmt: skip
            defences = [NO_DEFENCE, *(name for name in _OFFERED if _is_shown(name))]
        note = in_a_sentence(texts.MEASURE_NOTES[measure])
        st.markdown(f"{texts.ATTACKS[attack]} {texts.MEASURES[measure]}: {note}")
        cells = [cell for cell in of.cells if cell.attack == attack]
        widgets.plotly_chart(
            charts.curves(cells, measure, defences),
            f"{texts.MEASURES[measure]} by poisoned share of the training data; numbers below",
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
    st.table(columns, border="horizontal", hide_index=True, alt="Values of the curves")


def clean_vs_poisoned(of: PoisoningResult) -> None:
    """Draw the study project's table, with bands."""
    with widgets.card(texts.STUDY_TITLE):
        st.caption(texts.STUDY_NOTE)
        columns = {"Training labels": list(texts.STUDY_ROWS)}
        for name in _STUDY:
            columns[texts.MEASURES[name]] = [
                texts.format_band(name, cell.bands[name]) for cell in _study(of)
            ]
        st.table(columns, border="horizontal", hide_index=True, alt="Clean versus poisoned")


def limits() -> None:
    """Draw the limitations."""
    with widgets.card(texts.LIMITS_TITLE):
        st.markdown(texts.LIMITS)


def run_form() -> None:
    """Draw the settings of a run, or its progress."""
    with widgets.card(texts.RUN_TITLE):
        st.markdown(texts.RUN)
        trained_on = data.missing_training_file()
        if trained_on is not None:
            st.info(texts.other_training_data(escape_markdown(trained_on), HEART_CSV.name))
        job: Job | None = st.session_state.get(data.JOB)
        if job is not None and not job.ended:
            _progress(job)
            return
        if job is not None and job.state is State.FAILED:
            st.warning(texts.FAILED)
        elif job is not None and job.state is State.CANCELLED:
            st.info(texts.CANCELLED)
        _settings()
        if job is not None and job.state is State.DONE:
            st.button("Back to the results computed at training", on_click=_forget)


def _settings() -> None:
    with st.form("again", border=False):
        with st.container(horizontal=True, gap="medium"):
            st.selectbox("Seeds", _SEEDS, index=1, key="seeds", width=160)
            st.selectbox(
                "L2 penalty C (smaller = stronger)", _PENALTIES, index=2, key="c", width=280
            )
            st.selectbox("Attacked group", list(BY_NAME["sex"].codes), key="group", width=160)
        st.form_submit_button("Run", type="primary", on_click=_start)


def _start() -> None:
    chosen = {name: st.session_state[name] for name in ("seeds", "c", "group")}
    try:
        st.session_state[data.JOB] = jobs_pool.pool.submit(_FUNCTION, **chosen)
    except jobs_pool.PoolFull:
        st.toast(shared_texts.POOL_BUSY)


def _forget() -> None:
    st.session_state.pop(data.JOB, None)


@st.fragment(run_every=_REFRESH_S)
@login.requires_page("poisoning")
def _progress(job: Job) -> None:
    if job.ended:
        st.rerun()
    st.progress(job.progress, text=texts.running(job.progress))
    st.button("Cancel", on_click=job.cancel)
