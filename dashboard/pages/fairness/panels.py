"""The panels of the Fairness page: gaps, rates by group, metrics, threshold simulation."""

from __future__ import annotations

import streamlit as st

from dashboard.auth import login
from dashboard.pages.fairness import charts, data, texts
from dashboard.pages.fairness.data import LabelledPredictions
from dashboard.shared import cohort, widgets
from dashboard.shared.group_rates import (
    LABELS,
    fairness_verdict,
    perfect_classifier_note,
    rate_cells,
)
from dashboard.shared.numbers import signed
from pipeline.fairness.result import Assessment, Grouping
from pipeline.fairness.threshold_tradeoff import (
    compare_threshold,
    compare_thresholds,
    rates_by_threshold,
)
from pipeline.schema import SENSITIVE

DEFAULT_THRESHOLD = 0.5
"""The threshold of the scorecard; simulations are compared with it."""


def controls() -> tuple[str, LabelledPredictions | None, str]:
    """Let the viewer choose whose predictions are compared, and by what."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        whose = widgets.choice_selector("Data", texts.PATIENTS, "training", "patients")
        if whose == "training":
            found, of = None, data.training()
        else:
            found, rows = cohort.recent_predictions()
            of = data.logged(found.source, rows)
        names = {name: name.capitalize() for name in (of.groups if of else (SENSITIVE[0].name,))}
        attribute = widgets.choice_selector("Group by", names, next(iter(names)), "by")
    if found is not None:
        cohort.size(found)
    return whose, of, attribute


def verdict(found: Assessment, grouping: Grouping, of: LabelledPredictions) -> None:
    """Draw the verdict and whose predictions it is about."""
    st.caption(texts.subtitle(found.n, found.n_known, of.source, of.versions))
    st.title(fairness_verdict(grouping), anchor=False)
    st.markdown(perfect_classifier_note(grouping) or texts.NO_OUTCOMES)


def gaps(grouping: Grouping) -> None:
    """Draw the signed gaps."""
    shown = charts.gaps_to_draw(grouping)
    if not shown:
        return
    many = len(grouping.groups) > 2
    title = "Each group versus all others"
    if not many:
        title = f"{grouping.gaps[0].group.capitalize()} minus {grouping.gaps[0].against}"
    with widgets.card(title):
        st.caption(texts.GAPS_NOTE)
        said = "; ".join(f"{g.group}, {LABELS[g.metric]}: {signed(g.difference, 3)}" for g in shown)
        figure = charts.gaps(shown, name_groups=many)
        widgets.plotly_chart(figure, said, 80 + 34 * len(shown), "gaps")
        st.markdown(texts.interval_note(grouping.gaps))


def rates_by_group(grouping: Grouping) -> None:
    """Draw one small chart for each rate: a narrow window has room for them."""
    with widgets.card("Rates by group"):
        st.caption(texts.RATES_NOTE)
        panes = st.grid(4, min_column_width=230, gap="small")
        for metric, label in LABELS.items():
            if not any(metric in group.rates for group in grouping.groups):
                continue
            with panes.cell():
                st.markdown(f"**{label}**")
                cells = rate_cells(grouping, metric)
                said = f"{label}: " + "; ".join(f"{group} {cell}" for group, cell in cells.items())
                height = 60 + 34 * max(2, len(grouping.groups))
                widgets.plotly_chart(
                    charts.rates_by_group(grouping, metric), said, height, f"rates_{metric}"
                )


def fairness_metrics(grouping: Grouping) -> None:
    """Draw fairlearn's two differences as a table."""
    if grouping.demographic_parity is None:
        return
    rows = [
        texts.difference_row(
            "Demographic parity", grouping.demographic_parity, grouping.perfect_parity
        )
    ]
    if grouping.equalized_odds is not None:
        rows.append(texts.difference_row("Equalized odds", grouping.equalized_odds, 0.0))
    with widgets.card("Demographic parity and equalized odds"):
        st.caption(texts.DIFFERENCES_NOTE)
        widgets.table(rows, "Demographic parity and equalized odds differences")


def tables(found: Assessment, grouping: Grouping, of: LabelledPredictions) -> None:
    """Draw all gaps and rates as tables, with downloads."""
    with widgets.card("All rates and gaps"):
        if grouping.gaps:
            rows = [texts.gap_row(gap) for gap in grouping.gaps]
            widgets.table(rows, "Gaps with 95 % intervals, p-values, denominators and verdicts")
        rows = [
            {"Rate": label, "Share": texts.DENOMINATORS[metric], **rate_cells(grouping, metric)}
            for metric, label in LABELS.items()
            if all(metric in group.rates for group in grouping.groups)
        ]
        widgets.table(rows, "Rates by group with 95 % intervals and denominators")
        with st.container(horizontal=True):
            for name, frame in (("gaps", found.gap_frame()), ("rates", found.frame())):
                file = f"fairness-{name}-{of.source or 'training'}"
                widgets.csv_download(f"Download {name} (CSV)", frame, file)


@st.fragment
@login.requires_page("fairness")
def threshold_simulation(of: LabelledPredictions, attribute: str) -> None:
    """Draw the effect of another threshold on each group, and of each decision rule."""
    groups = of.groups[attribute]
    with widgets.card("Threshold simulation"):
        st.markdown(texts.THRESHOLD_NOTE)
        at = 0.01 * st.slider(
            "Threshold", 5, 95, round(100 * DEFAULT_THRESHOLD), 1, "%d %%", key="threshold",
            bind="query-params",
        )  # fmt: skip
        st.markdown(
            texts.simulation(
                compare_threshold(of.y, of.probability, groups, at, DEFAULT_THRESHOLD), at
            )
        )
        curves = rates_by_threshold(of.y, of.probability, groups)
        panes = st.grid(3, min_column_width=280, gap="small")
        for metric in charts.MAIN_METRICS:
            with panes.cell():
                label = LABELS[metric]
                st.markdown(f"**{label}**")
                said = f"{label} by group and threshold"
                widgets.plotly_chart(
                    charts.rate_by_threshold(curves, metric, at), said, 330, f"tradeoff_{metric}"
                )
        st.caption(texts.RULES_NOTE)
        rules = compare_thresholds(of.y, of.probability, groups, DEFAULT_THRESHOLD)
        widgets.table(texts.rules_table(rules), "Decision rules and their effects")


def no_predictions(whose: str) -> None:
    """Draw the screen without predictions."""
    st.title("No predictions to compare yet.", anchor=False)
    if whose == "training":
        widgets.notice(texts.NO_TRAINING_TITLE, texts.NO_TRAINING)
    else:
        st.markdown(texts.NO_LOGGED)
        widgets.empty_log()
