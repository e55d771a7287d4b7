"""The panels of the Overview: verdict, figures, charts, refusals."""

from __future__ import annotations

from datetime import timedelta

import streamlit as st

from dashboard.auth import login
from dashboard.navigation import APP
from dashboard.pages.overview import charts, data, texts
from dashboard.pages.overview.data import OverviewData
from dashboard.shared import data_access, escaping, numbers, widgets
from dashboard.shared import texts as shared_texts
from dashboard.shared.data_access import Window

_LATE = timedelta(days=2)
"""A window that ended so long ago has been missed at least once."""


def controls() -> tuple[str, str | None]:
    """Let the viewer choose a period and, where there are several, a source; None = an empty log.

    Without a choice one live prediction would take a log of replayed patients off the page.
    """
    first, kept = data_access.default_source(), data_access.sources_with_rows()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        period = widgets.window_selector("24h") or "24h"
        if first is None or len(kept) == 1:
            return period, first
        source = st.selectbox(
            "Source", kept, index=kept.index(first), format_func=shared_texts.SOURCES.__getitem__,
            key="overview_source", bind="query-params", width=160,
        )  # fmt: skip
    return period, source


def verdict(seen: OverviewData, window: Window, *, ready: bool) -> None:
    """Draw the page's one sentence, and when it was said."""
    st.caption(f"Overview · {APP} · {texts.last_updated(widgets.now())}")
    sentence = texts.verdict(
        n=seen.summary.n,
        positive=seen.summary.n_positive,
        source=seen.source,
        period=window.phrase,
        ready=ready,
        refused=_refused(seen),
        newest=widgets.format_time(seen.newest),
    )
    st.title(sentence, anchor=False)


def _refused(seen: OverviewData) -> int:
    return sum(row["count"] for row in seen.rejections)


def monitoring_status(seen: OverviewData) -> None:
    """Draw what the newest monitoring pass said, and the passes before it as a strip."""
    passes = data.monitoring_runs(seen.source)
    with widgets.card(texts.MONITORING_TITLE):
        if not passes:
            st.markdown(texts.no_monitoring_run(seen.source))
            return
        newest = passes[0]
        said = escaping.escape_markdown(newest["verdict"])
        st.markdown(f"{texts.status(newest['status'])} {said}")
        window = numbers.format_window(newest["since"], newest["until"], widgets.zone())
        late = widgets.now() - newest["until"] > _LATE
        recorded = widgets.format_time(newest["recorded_at"])
        said = texts.monitoring_caption(window, recorded, late=late)
        st.caption(f"{said} {texts.source_note(seen.source)}")
        if len(passes) > 1:
            said = texts.status_strip_alt([found["status"] for found in passes])
            widgets.plotly_chart(
                charts.monitoring_statuses(passes, widgets.zone()), said, 190, "passes"
            )
        if newest["status"] != "green":
            chosen = {"drift_source": shared_texts.SOURCES[seen.source]}
            login.page_link("drift", texts.VIEW_DRIFT, chosen)


def no_recent_predictions(seen: OverviewData, window: Window) -> None:
    """Draw the screen of a period in which nothing happened."""
    newest = widgets.format_time(seen.newest)
    widgets.notice(texts.stale_title(window.phrase), texts.last_prediction(newest))


def summary_metrics(seen: OverviewData) -> None:
    """Draw the figures of the period, each with what it is made of."""
    summary = seen.summary
    with st.grid(4, min_column_width=210, gap="small"):
        _figure(
            "Predictions",
            f"{summary.n:,}",
            "the newest of more"
            if summary.truncated
            else shared_texts.SOURCES[seen.source].lower(),
        )
        _figure(
            "At or above the threshold",
            numbers.format_share(summary.n_positive, summary.n),
            f"{summary.n_positive:,} of {summary.n:,}",
        )
        _figure(
            "Time to estimate",
            numbers.milliseconds(summary.latency_p50_ms),
            f"19 of 20 within {numbers.milliseconds(summary.latency_p95_ms)}",
        )
        version = escaping.escape_markdown(summary.model_versions[0])
        _figure("Model", version, _model_detail(summary.model_versions))


def _model_detail(versions: tuple[str, ...]) -> str:
    others = len(versions) - 1
    return (
        f"and {numbers.count_noun(others, 'older version')}" if others else "the only version here"
    )


def _figure(label: str, value: str, detail: str) -> None:
    st.metric(
        label, value, detail, delta_color="off", delta_arrow="off", border=True, height="stretch"
    )


def history(seen: OverviewData, window: Window) -> None:
    """Draw the period's predictions, the share at or above the threshold and the latency."""
    zone, buckets = widgets.zone(), seen.buckets
    with widgets.card("Predictions over time"):
        said = f"{seen.summary.n} predictions {window.phrase}, by time"
        widgets.plotly_chart(charts.prediction_counts(buckets, zone), said, 300, "volume")
    halves = st.grid(2, min_column_width=420, gap="small")
    with halves.cell(), widgets.card("Share at or above the threshold"):
        st.caption(texts.SHARE_NOTE)
        said = "Share over time in percent"
        widgets.plotly_chart(charts.positive_rate(buckets, zone), said, 260, "share")
    with halves.cell(), widgets.card("Time to estimate"):
        st.caption(texts.LATENCY_NOTE)
        said = "Milliseconds from request to estimate, without the commit, over time"
        widgets.plotly_chart(charts.scoring_latency(buckets, zone), said, 260, "latency")


def rejections(seen: OverviewData, window: Window) -> None:
    """Draw the last refused requests: when, what was wrong, how often; never a value."""
    with widgets.card("Refused requests"):
        if not seen.rejections:
            st.markdown(texts.no_rejections(window.phrase))
            return
        rows = seen.rejections[:10]
        st.markdown(texts.rejections_note(_refused(seen), window.phrase, len(rows)))
        st.table(
            {
                "When": [widgets.format_time(row["minute"]) for row in rows],
                "What was wrong": [
                    texts.rejection_reason(row["field"], row["reason"]) for row in rows
                ],
                "Asked for": [texts.route(row["route"]) for row in rows],
                "Answer": [str(row["status"]) for row in rows],
                "Times": [str(row["count"]) for row in rows],
            },
            border="horizontal",
            hide_index=True,
            alt="The last refused requests",
        )
