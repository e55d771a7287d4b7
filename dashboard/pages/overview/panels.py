"""The panels of the Overview: verdict, figures, charts, refusals."""

from __future__ import annotations

from datetime import timedelta

import streamlit as st

from dashboard.auth import login
from dashboard.navigation import APP
from dashboard.pages.overview import charts, data, texts
from dashboard.pages.overview.data import Overview
from dashboard.shared import data_access, escaping, numbers, widgets
from dashboard.shared import texts as shared_texts
from dashboard.shared.data_access import Window

_LATE = timedelta(days=2)
"""A window that ended so long ago has been missed at least once."""


def controls() -> tuple[str, str | None]:
    """Let the viewer choose a period and, where there are several, a source; None = an empty log.

    Without a choice one live prediction would take a log of replayed patients off the page.
    """
    first, kept = data_access.source(), data_access.sources()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        period = widgets.period("24h") or "24h"
        if first is None or len(kept) == 1:
            return period, first
        source = st.selectbox(
            "Source", kept, index=kept.index(first), format_func=shared_texts.SOURCES.__getitem__,
            key="overview_source", bind="query-params", width=160,
        )  # fmt: skip
    return period, source


def verdict(seen: Overview, window: Window, *, ready: bool) -> None:
    """Draw the page's one sentence, and when it was said."""
    st.caption(f"Overview · {APP} · {texts.seen_now(widgets.now())}")
    sentence = texts.verdict(
        n=seen.summary.n,
        positive=seen.summary.n_positive,
        source=seen.source,
        period=window.words,
        ready=ready,
        refused=_refused(seen),
        newest=widgets.when(seen.newest),
    )
    st.title(sentence, anchor=False)


def _refused(seen: Overview) -> int:
    return sum(row["count"] for row in seen.rejections)


def watch(seen: Overview) -> None:
    """Draw what the newest monitoring pass said, and the passes before it as a strip."""
    passes = data.passes(seen.source)
    with widgets.card(texts.WATCH_TITLE):
        if not passes:
            st.markdown(texts.not_watched(seen.source))
            return
        newest = passes[0]
        said = escaping.markdown(newest["verdict"])
        st.markdown(f"{texts.status(newest['status'])} {said}")
        window = numbers.stretch(newest["since"], newest["until"], widgets.zone())
        late = widgets.now() - newest["until"] > _LATE
        recorded = widgets.when(newest["recorded_at"])
        st.caption(f"{texts.watched(window, recorded, late=late)} {texts.of_whom(seen.source)}")
        if len(passes) > 1:
            said = texts.strip([found["status"] for found in passes])
            widgets.over_time(charts.statuses(passes, widgets.zone()), said, 190, "passes")
        if newest["status"] != "green":
            chosen = {"drift_source": shared_texts.SOURCES[seen.source]}
            login.page_link("drift", texts.LOOK_CLOSER, chosen)


def stale(seen: Overview, window: Window) -> None:
    """Draw the screen of a period in which nothing happened."""
    newest = widgets.when(seen.newest)
    widgets.calm(texts.stale_title(window.words), texts.stale(newest))


def figures(seen: Overview) -> None:
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
            numbers.share(summary.n_positive, summary.n),
            f"{summary.n_positive:,} of {summary.n:,}",
        )
        _figure(
            "Time to estimate",
            numbers.milliseconds(summary.latency_p50_ms),
            f"19 of 20 within {numbers.milliseconds(summary.latency_p95_ms)}",
        )
        version = escaping.markdown(summary.model_versions[0])
        _figure("Model", version, _model_detail(summary.model_versions))


def _model_detail(versions: tuple[str, ...]) -> str:
    others = len(versions) - 1
    return f"and {numbers.times(others, 'older version')}" if others else "the only version here"


def _figure(label: str, value: str, detail: str) -> None:
    st.metric(
        label, value, detail, delta_color="off", delta_arrow="off", border=True, height="stretch"
    )


def history(seen: Overview, window: Window) -> None:
    """Draw the period's predictions, the share at or above the threshold and the latency."""
    zone, buckets = widgets.zone(), seen.buckets
    with widgets.card("Predictions over time"):
        said = f"{seen.summary.n} predictions {window.words}, by time"
        widgets.over_time(charts.volume(buckets, zone), said, 300, "volume")
    halves = st.grid(2, min_column_width=420, gap="small")
    with halves.cell(), widgets.card("Share at or above the threshold"):
        st.caption(texts.SHARE_NOTE)
        said = "Share over time in percent"
        widgets.over_time(charts.share(buckets, zone), said, 260, "share")
    with halves.cell(), widgets.card("Time to estimate"):
        st.caption(texts.LATENCY_NOTE)
        said = "Milliseconds from request to estimate, without the commit, over time"
        widgets.over_time(charts.latency(buckets, zone), said, 260, "latency")


def refusals(seen: Overview, window: Window) -> None:
    """Draw the last refused requests: when, what was wrong, how often; never a value."""
    with widgets.card("Refused requests"):
        if not seen.rejections:
            st.markdown(texts.no_refusals(window.words))
            return
        rows = seen.rejections[:10]
        st.markdown(texts.refusals_note(_refused(seen), window.words, len(rows)))
        st.table(
            {
                "When": [widgets.when(row["minute"]) for row in rows],
                "What was wrong": [texts.refusal(row["field"], row["reason"]) for row in rows],
                "Asked for": [texts.route(row["route"]) for row in rows],
                "Answer": [str(row["status"]) for row in rows],
                "Times": [str(row["count"]) for row in rows],
            },
            border="horizontal",
            hide_index=True,
            alt="The last refused requests",
        )
