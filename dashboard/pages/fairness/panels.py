"""The panels of the Fairness page: gaps, rates by group, differences, another threshold."""

from __future__ import annotations

import streamlit as st

from dashboard.auth import login
from dashboard.pages.fairness import charts, data, texts
from dashboard.pages.fairness.data import Assessed
from dashboard.shared import group_rates, widgets
from pipeline.fairness.groups import SEX
from pipeline.fairness.result import Assessment, Grouping
from pipeline.fairness.threshold_tradeoff import curve, what_if, what_ifs

IN_SERVICE = 0.5
"""The threshold of the scorecard; what-ifs are compared with it."""


def choices() -> tuple[str, str]:
    """Let the viewer choose whose predictions are compared, and by what."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        whose = st.segmented_control(
            "Patients",
            list(texts.PATIENTS),
            default="training",
            required=True,
            format_func=texts.PATIENTS.__getitem__,
            key="patients",
            bind="query-params",
        )
        attribute = st.segmented_control(
            "Compared by",
            list(texts.ATTRIBUTES),
            default=SEX,
            required=True,
            format_func=texts.ATTRIBUTES.__getitem__,
            key="by",
            bind="query-params",
        )
    return str(whose), str(attribute)


def verdict(found: Assessment, grouping: Grouping, source: str | None) -> None:
    """Draw the page's one sentence and whom it is about."""
    st.caption(texts.whom(found.n, found.n_known, source))
    st.title(group_rates.verdict(grouping), anchor=False)
    st.markdown(texts.perfect(grouping))


def gaps(grouping: Grouping) -> None:
    """Draw the signed gaps."""
    shown = charts.drawn(grouping)
    if not shown:
        return
    many = len(grouping.groups) > 2
    title = "Each group against all others"
    if not many:
        title = f"{grouping.gaps[0].group.capitalize()} minus {grouping.gaps[0].against}"
    with widgets.card(title):
        st.caption(texts.GAPS_NOTE)
        said = "; ".join(
            f"{g.group}, {group_rates.LABELS[g.metric]}: {group_rates.signed(g.difference)}"
            for g in shown
        )
        figure = charts.gaps(shown, name_groups=many)
        widgets.over_time(figure, said, 80 + 34 * len(shown), "gaps")


def rates(grouping: Grouping) -> None:
    """Draw the rates of each group, a picture a rate, so that a narrow window has room for it."""
    with widgets.card("Rates of each group"):
        st.caption(texts.RATES_NOTE)
        panes = st.grid(4, min_column_width=230, gap="small")
        for metric, label in group_rates.LABELS.items():
            if not any(metric in group.rates for group in grouping.groups):
                continue
            with panes.cell():
                st.markdown(f"**{label}**")
                said = f"{label} of each group with its range; the table below holds the numbers"
                height = 60 + 34 * max(2, len(grouping.groups))
                widgets.over_time(charts.rates(grouping, metric), said, height, f"rates_{metric}")


def differences(grouping: Grouping) -> None:
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
    with widgets.card("The usual two numbers"):
        st.caption(texts.DIFFERENCES_NOTE)
        widgets.table(rows, "Demographic parity and equalized odds differences")


def tables(found: Assessment, grouping: Grouping) -> None:
    """Draw all gaps and rates as tables, with downloads."""
    with widgets.card("All numbers"):
        if grouping.gaps:
            widgets.table(
                [
                    {
                        "Rate": group_rates.LABELS[gap.metric],
                        "Between": f"{gap.group} − {gap.against}",
                        "Difference": group_rates.signed(gap.difference),
                        "95 % range": group_rates.signed_range(gap.interval),
                        "p (Holm)": texts.p_words(gap.p_adjusted),
                        "Of": f"{gap.n[0]:,} and {gap.n[1]:,}",
                        "Verdict": group_rates.gap_words(gap),
                    }
                    for gap in grouping.gaps
                ],
                "Signed gaps with ranges, p-values, denominators and verdicts",
            )
        widgets.table(
            [
                {"Rate": label, "Share": texts.MEANINGS[metric]}
                | {g.name: group_rates.rate_words(g.rates[metric]) for g in grouping.groups}
                for metric, label in group_rates.LABELS.items()
                if all(metric in group.rates for group in grouping.groups)
            ],
            "Rates of each group with ranges and denominators",
        )
        with st.container(horizontal=True):
            for name, frame in (("gaps", found.gap_frame()), ("rates", found.frame())):
                st.download_button(
                    f"Download {name} (CSV)",
                    frame.to_csv(index=False).encode(),
                    file_name=f"cardiowatch-fairness-{name}.csv",
                    mime="text/csv",
                    on_click="ignore",
                    key=f"download_{name}",
                )


@st.fragment
@login.only_for("fairness")
def tradeoff(of: Assessed, attribute: str) -> None:
    """Draw what another threshold would do to each group, and what each rule would cost."""
    groups = of.groups[attribute]
    with widgets.card("Another threshold"):
        st.markdown(texts.TRADEOFF_NOTE)
        at = st.slider("Threshold", 0.05, 0.95, IN_SERVICE, 0.01, key="threshold")
        st.markdown(texts.tradeoff(what_if(of.y, of.probability, groups, at, IN_SERVICE), at))
        curves = curve(of.y, of.probability, groups)
        panes = st.grid(3, min_column_width=280, gap="small")
        for metric in charts.SHOWN:
            with panes.cell():
                label = group_rates.LABELS[metric]
                st.markdown(f"**{label}**")
                said = f"{label} of each group by threshold"
                widgets.over_time(
                    charts.tradeoff(curves, metric, at), said, 330, f"tradeoff_{metric}"
                )
        st.caption(texts.RULES_NOTE)
        rules = what_ifs(of.y, of.probability, groups, IN_SERVICE)
        widgets.table(texts.rules_table(rules), "Rules and what each would cost")


def nothing(whose: str) -> None:
    """Draw the screen of patients that are not there."""
    st.title("There is nothing to compare yet.", anchor=False)
    if whose == "training":
        widgets.calm(texts.NO_TRAINING_TITLE, texts.NO_TRAINING)
    else:
        st.markdown(texts.NO_LOGGED)
        widgets.empty_log()


def chosen(whose: str) -> Assessed | None:
    """Return the patients that were chosen, of logged ones as many as wanted; None = none."""
    return data.training() if whose == "training" else data.logged(widgets.newest())
