"""Panels of the Overview: verdict, metrics, charts, rejected requests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import streamlit as st

from dashboard.auth import login
from dashboard.navigation import APP
from dashboard.pages.overview import charts, data, texts
from dashboard.pages.overview.data import OverviewData
from dashboard.shared import escaping, numbers, widgets
from dashboard.shared import texts as shared_texts
from dashboard.shared.data_access import Window
from db.reader import queries
from db.writer.alerts import MAX_NOTE
from pipeline.fairness.result import Rate

_LATE = timedelta(days=2)
"""After this age of the last window, at least one daily run was missed."""


def controls() -> tuple[str, str | None]:
    """Draw the selectors of window and, if there are several, source; None = an empty log."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        return widgets.window_selector("24h"), widgets.source_selector()


def verdict(seen: OverviewData, window: Window, *, ready: bool) -> None:
    """Draw the worst that is true, when it was updated, and one line each on four questions."""
    st.caption(
        f"Overview · {APP} · Updated {widgets.now():%H:%M} ({widgets.zone()}), refreshes every 30 s"
    )
    activity = texts.activity(
        n=seen.summary.n,
        positive=seen.summary.n_positive,
        source=seen.source,
        window=window.phrase,
        rejections=_rejections(seen),
        newest=widgets.format_time(seen.newest),
    )
    run = next(iter(data.monitoring_runs(seen.source)), None)
    st.title(
        texts.headline(ready=ready, run=run, activity=activity, source=seen.source), anchor=False
    )
    source, logged = {widgets.SOURCE: shared_texts.SOURCES[seen.source]}, "Logged predictions"
    report = None if run is None else data.report(run["id"])
    drift, fairness, accuracy = texts.monitoring_lines(run, report, data.outcomes(seen.source))
    for (status, sentence), page, label, where in (
        (("green" if ready else "red", activity), "predictions", "Predictions", source),
        (drift, "drift", "Drift", source),
        (fairness, "fairness", "Fairness", source | {"patients": logged}),
        (accuracy, "model_card", "Model card", {}),
    ):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown(f"{texts.status(status)} {escaping.escape_markdown(sentence)}")
            login.page_link(page, f"{label} →", where)


def _rejections(seen: OverviewData) -> int:
    return int(seen.rejections[0]["total"]) if seen.rejections else 0


def monitoring_status(seen: OverviewData) -> None:
    """Draw when monitoring ran, its open alert, and the status of the runs before it."""
    runs = data.monitoring_runs(seen.source)
    with widgets.card("Monitoring status"):
        if not runs:
            st.markdown(texts.no_monitoring_run(seen.source))
            return
        newest = runs[0]
        window = numbers.format_window(newest["since"], newest["until"], widgets.zone())
        recorded = widgets.format_time(newest["recorded_at"])
        due = texts.OVERDUE if widgets.now() - newest["until"] > _LATE else ""
        note = texts.source_note(seen.source)
        st.caption(f"Predictions {window}; monitoring run {recorded}. {due} {note}")
        _alert(seen.source)
        if len(runs) > 1:
            said = texts.status_strip_alt([found["status"] for found in runs])
            widgets.plotly_chart(
                charts.monitoring_statuses(runs, widgets.zone()), said, 190, "runs"
            )


def _alert(source: str) -> None:
    """Draw the open alert, with a way to acknowledge it, and the messages that were not sent."""
    found = data.open_alert(source)
    if found is not None:
        acknowledged, note = found["acknowledged_at"], found["note"]
        said = texts.alert(
            widgets.format_time(found["opened_at"]),
            None if acknowledged is None else widgets.format_time(acknowledged),
            escaping.escape_markdown(found["acknowledged_by"] or ""),
            note and escaping.escape_markdown(note),
        )
        st.markdown(said)
        if acknowledged is None and login.is_operator():
            _acknowledgement(found["id"])
    if unsent := data.undelivered_alerts():
        newest = unsent[-1]
        due = widgets.format_time(newest["due_at"])
        st.warning(texts.undelivered(len(unsent), newest["error"], due))


def _acknowledgement(alert_id: str) -> None:
    with st.form("acknowledgement", border=False):
        row = st.container(horizontal=True, vertical_alignment="bottom")
        note = row.text_input(texts.NOTE, max_chars=MAX_NOTE)
        if row.form_submit_button(texts.ACKNOWLEDGE, help=texts.ACKNOWLEDGE_HELP):
            failed = data.acknowledge(alert_id, note)
            if failed is None:
                st.rerun()
            st.error(failed)


def no_recent_predictions(seen: OverviewData, window: Window) -> None:
    """Draw the notice of a window without predictions."""
    newest = widgets.format_time(seen.newest)
    said = f"Last prediction: {newest}. Choose a longer window above."
    widgets.notice(f"No predictions {window.phrase}", said)


def summary_metrics(seen: OverviewData) -> None:
    """Draw the metrics of the window."""
    summary = seen.summary
    newest = texts.of_newest(queries.MAX_ROWS) if summary.truncated else ""
    with st.grid(4, min_column_width=210, gap="small"):
        _metric("Predictions", f"{summary.n:,}", shared_texts.SOURCES[seen.source].lower())
        _metric(
            "Positive",
            numbers.format_share(summary.n_positive, summary.n),
            f"{summary.n_positive:,} of {summary.n:,}",
            shared_texts.POSITIVE_HELP,
        )
        _metric(
            "Scoring latency (p95)",
            numbers.milliseconds(summary.latency_p95_ms),
            f"median (p50) {numbers.milliseconds(summary.latency_p50_ms)}{newest}",
            texts.LATENCY_NOTE,
        )
        version, *older = summary.model_versions
        others = numbers.count_noun(len(older), "older version")
        detail = f"plus {others}" if older else f"only version{newest or ' in this window'}"
        _metric("Model", escaping.escape_markdown(version), detail)


def _metric(label: str, value: str, detail: str, help_text: str | None = None) -> None:
    st.metric(
        label, value, detail, delta_color="off", delta_arrow="off", border=True, height="stretch",
        help=help_text,
    )  # fmt: skip


def history(seen: OverviewData, window: Window) -> None:
    """Draw predictions, positive rate and latency over time."""
    zone, buckets = widgets.zone(), seen.buckets
    with widgets.card("Predictions over time"):
        said = texts.spoken("Predictions over time", buckets, zone, lambda b: f"{b.n:,}")
        widgets.plotly_chart(charts.prediction_counts(buckets, zone), said, 300, "volume")
    halves = st.grid(2, min_column_width=420, gap="small")
    with halves.cell(), widgets.card("Positive rate"):
        st.caption(texts.SHARE_NOTE)
        said = texts.spoken(
            "Positive rate", buckets, zone, lambda b: numbers.format_share(b.n_positive, b.n)
        )
        widgets.plotly_chart(charts.positive_rate(buckets, zone), said, 260, "share")
    with halves.cell(), widgets.card("Scoring latency"):
        newest = texts.latency_of_newest(queries.MAX_ROWS) if seen.summary.truncated else ""
        st.caption(texts.LATENCY_NOTE + newest)
        said = texts.spoken(
            "Scoring latency, p95", buckets, zone, lambda b: numbers.milliseconds(b.latency_p95_ms)
        )
        widgets.plotly_chart(charts.scoring_latency(buckets, zone), said, 260, "latency")


def override_rates(found: Sequence[tuple[str, str, Rate]], window: Window) -> None:
    """Draw how often clinicians overrode predictions, by band of risk and by group."""
    with widgets.card("Clinicians' responses"):
        (_, _, total), *groups = found
        st.markdown(texts.overridden(total, window.phrase))
        if total.n:
            rows = [texts.override_row(*each) for each in groups]
            widgets.table(rows, "Override rate by estimated risk, sex and age")
            st.caption(texts.OVERRIDE_NOTE)


def rejections(seen: OverviewData, window: Window) -> None:
    """Draw the most recent rejected requests; never a value."""
    with widgets.card("Rejected requests"):
        if not seen.rejections:
            st.markdown(f"No rejected requests {window.phrase}.")
            return
        rows = seen.rejections
        st.markdown(texts.rejections_note(_rejections(seen), window.phrase, len(rows)))
        cells = [
            {
                "Time": widgets.format_time(row["minute"]),
                "Reason": texts.rejection_reason(row["field"], row["reason"]),
                "Endpoint": texts.route(row["route"]),
                "Status": str(row["status"]),
                "Count": str(row["count"]),
            }
            for row in rows
        ]
        widgets.table(cells, "Most recent rejected requests")
