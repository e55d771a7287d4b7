"""Panels of the Explanations page: charts, importance table, challengers, single predictions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from dashboard.auth import login
from dashboard.pages.explanations import charts, texts
from dashboard.pages.explanations.data import LOGGED, TRAINING, Explanations, first
from dashboard.shared import data_access, numbers, scorecards, widgets
from dashboard.shared.prediction import drawer
from pipeline.dataset.heart import Coding, encode_row
from pipeline.model.global_explanation import GlobalExplanation, top_contributions
from pipeline.schema import BY_NAME, NAMES

LISTED = 10
"""Predictions in the table of local explanations."""

_PICTURE = {
    "displaylogo": False,
    "modeBarButtons": [["toImage"]],
    "toImageButtonOptions": {"format": "svg", "filename": "cardiowatch-explanations"},
}


def verdict(shown: Explanations, source: str | None, rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw the verdict, and whose predictions it is about."""
    st.caption(texts.subtitle(shown, source))
    st.title(texts.verdict(shown), anchor=False)
    if TRAINING not in shown:
        st.markdown(texts.NO_TRAINING)
    if any(row["model_version"] != first(shown).version for row in rows):
        st.markdown(texts.OTHER_VERSIONS)


def nothing_to_explain(rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw the notice without a model or without predictions."""
    st.title("No predictions to explain yet.", anchor=False)
    if rows:
        widgets.notice(texts.NO_MODEL_TITLE, texts.NO_MODEL)
    else:
        widgets.empty_log()


def global_importance(shown: Explanations) -> None:
    """Draw the chosen chart for training and logged patients."""
    with widgets.card("Global feature importance"):
        kind = widgets.choice_selector("Chart", texts.CHARTS, "bars", "picture")
        if kind == "swarm":
            st.caption(texts.SWARM_NOTE)
            said = "Beeswarm plot of the contributions of each finding, by set of patients"
            _draw(charts.beeswarm(shown), said, 560, "swarm")
        elif kind == "one":
            _one(shown)
        else:
            st.caption(texts.WEIGHT_NOTE)
            sizes = _column(first(shown).ranking, first(shown))
            labels = [BY_NAME[n].label for n in first(shown).ranking]
            said = "; ".join(f"{label} {size}" for label, size in zip(labels, sizes, strict=True))
            said = f"Mean absolute contributions: {said}"
            _draw(charts.importance_bars(shown), said, 560, "bars")


def _one(shown: Explanations) -> None:
    ranking = first(shown).ranking
    labels = {name: BY_NAME[name].label for name in ranking}
    name = widgets.select("Finding", labels, ranking[0], "finding", width=360)
    st.markdown(texts.direction_of_effect(first(shown).effects[name]))
    st.caption(texts.ONE_NOTE)
    said = f"Dependence plot of {BY_NAME[name].label}: contribution per value, share of patients"
    _draw(charts.dependence(name, shown), said, 460, "one")
    challengers = _challengers()
    if not challengers:
        return
    st.caption(texts.CHALLENGER_NOTE)
    halves = st.grid(2, min_column_width=420, gap="small")
    for model, found in challengers.items():
        with halves.cell():
            st.markdown(f"**{model.capitalize()}** ({found['explainer']}, {found['n']} patients)")
            figure = charts.challenger_dependence(name, found["features"][name], found["scale"])
            said = f"Dependence plot of {BY_NAME[name].label} in the challenger {model}"
            _draw(figure, said, 280, f"one_{model}")


def importance_table(shown: Explanations, source: str | None) -> None:
    """Draw a table of importance and direction of effect, and the downloads."""
    of = first(shown)
    columns = {"Finding": [BY_NAME[n].label for n in of.ranking]}
    for title, some in shown.items():
        columns[title] = _column(of.ranking, some)
    if LOGGED in shown:
        means = [numbers.signed(shown[LOGGED].effects[n].mean_contribution) for n in of.ranking]
        columns["Mean contribution, logged"] = means
    directions = [texts.direction_of_effect(of.effects[n]) for n in of.ranking]
    columns["Direction of effect"] = directions
    with widgets.card("Feature importance table"):
        widgets.columns(columns, "Feature importance and direction of effect of each finding")
        with st.container(horizontal=True):
            for title, some in shown.items():
                name, written = (
                    f"explanations-{source if title == LOGGED else 'training'}",
                    json.dumps(some.to_dict(), indent=1),
                )
                widgets.csv_download(f"{title} (CSV)", some.frame(), name)
                label, file = f"{title} (JSON)", f"{name}.json"
                widgets.download(label, written.encode(), file, "application/json")


def _column(ranking: Sequence[str], of: GlobalExplanation) -> list[str]:
    return [f"{of.effects[n].mean_absolute_contribution:.2f}" for n in ranking]


def challengers(shown: Explanations) -> None:
    """Draw how the challenger models rank the findings."""
    challengers, of = _challengers(), first(shown)
    if not challengers:
        return
    with widgets.card("Do challenger models agree?"):
        st.caption(texts.CHALLENGERS_NOTE)
        columns = {
            "Finding": [BY_NAME[n].label for n in of.ranking],
            "This model": [str(i) for i in range(1, len(NAMES) + 1)],
        }
        for model, found in challengers.items():
            ranking = sorted(NAMES, key=lambda n: -found["features"][n]["weight"])
            columns[model.capitalize()] = [str(ranking.index(n) + 1) for n in of.ranking]
        widgets.columns(columns, "Feature importance rank in three models")


def _challengers() -> Mapping[str, Any]:
    card = data_access.model_card()
    found = card["evidence"].get("explanations", {}) if card else {}
    return dict(found.get("challengers", {}))


def predictions(rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw the most recent predictions with their largest contributions; open any by its ID.

    Only for users who may see the log: these are individual patients.
    """
    if not rows or "predictions" not in login.allowed_pages():
        return
    with widgets.card("Individual predictions (local explanations)"):
        st.caption(texts.PATIENTS_NOTE)
        first = sorted(rows, key=lambda row: -row["prediction"])[:LISTED]
        explained = [(row, _reasons(row)) for row in first]
        widgets.columns(
            {
                "Time": [widgets.format_time(row["received_at"]) for row, _ in explained],
                "Estimated risk": [numbers.probability(row["probability"]) for row, _ in explained],
                "Largest contributions": [said for _, said in explained],
                "ID": [row["id"] for row, _ in explained],
            },
            "Most recent predictions with their five largest contributions",
        )
        with st.form("by_id", border=False):
            wanted = st.text_input("Prediction ID", placeholder=texts.ID_EXAMPLE, key="wanted")
            asked = st.form_submit_button("Explain")
    if asked and wanted.strip():
        drawer.prediction_drawer(wanted.strip().lower())


def _reasons(row: Mapping[str, Any]) -> str:
    """Return the largest contributions of a row, from the model version that scored it."""
    model = scorecards.scorecard(row["model_version"])
    if model is None:
        return texts.NO_MODEL
    sizes = model.score(scorecards.feature_matrix([row])).contributions[0].tolist()
    labels = encode_row(dict(row), Coding.LABELS)
    found = [
        {"feature": name, "value": labels[name], "contribution": size}
        for name, size in zip(NAMES, sizes, strict=True)
    ]
    return texts.largest_contributions(top_contributions(found))


def _draw(figure: go.Figure, alt: str, height: int, key: str) -> None:
    """Draw a figure with a button that saves it as SVG."""
    st.plotly_chart(figure, height=height, alt=alt, key=key, config=_PICTURE)
