"""The panels of the Load tests page: comparison, scaling, trend, open loop, autoscaling, table."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

import pandas as pd
import streamlit as st

from dashboard.auth import login
from dashboard.pages.load_tests import charts, data, texts
from dashboard.shared import widgets
from db.export import escape_formula
from pipeline.load_tests.autoscaling import Autoscaling
from pipeline.load_tests.benchmark import CARDIOWATCH, ECHO, Benchmark, Summary

Runs = Sequence[tuple[datetime, Benchmark]]

_COMPARABLE = range(150, 301)
"""Connections: runs with about as many are comparable."""


def verdict(made: datetime, run: Benchmark, note: str | None) -> None:
    """Draw the result of the run, its time and machine, and caveats; `note` = made elsewhere."""
    st.title(texts.verdict(run), anchor=False)
    if note is not None:
        st.info(f"{texts.shipped(note)} {texts.HOW_TO_RUN}")
    st.caption(texts.run_subtitle(run, widgets.format_time(made)))
    for caveat in texts.caveats(run):
        st.markdown(f":orange[{caveat}]")


@st.fragment(run_every=2)
@login.requires_page("load_tests")
def short_run() -> None:
    """Draw the button that runs a short load test where wrk is installed, or that it runs."""
    if shutil.which("wrk") is None:
        return
    run = data.short_run()
    if run.running:
        st.session_state["short_run"] = True
        st.info(texts.SHORT_RUNNING)
        return
    if st.session_state.pop("short_run", False):
        data.load_tests.clear()
        st.rerun()
    if run.failed:
        st.warning(texts.SHORT_FAILED)
    st.button("Run a short load test", on_click=run.start, help=texts.SHORT)


def run_selector(runs: Runs) -> tuple[datetime, Benchmark]:
    """Return the chosen run, by default the newest."""
    if len(runs) == 1:
        return runs[0]
    number = st.selectbox(
        "Run",
        range(len(runs)),
        format_func=lambda i: f"{widgets.format_time(runs[i][0])}{' (newest)' if i == 0 else ''}",
        key="run",
        width=260,
    )
    return runs[number]


def connections(run: Benchmark) -> list[Summary]:
    """Return the results at the chosen number of connections."""
    options = run.connections
    nearest = min(options, key=lambda c: abs(c - 200))
    picked = st.segmented_control(
        "Concurrent connections", options, default=nearest, required=True,
        format_func=lambda c: f"{c:,}", key=f"connections_{'_'.join(map(str, options))}",
    )  # fmt: skip
    return run.at_connections(picked or nearest)


def comparison(of: Sequence[Summary]) -> None:
    """Draw throughput, latency and errors of each service."""
    height = charts.chart_height(len(of))
    with widgets.card("Throughput (requests/s)"):
        st.caption(f"{texts.wrk_settings(of)}. {texts.THROUGHPUT_NOTE}")
        said = "Throughput of each service in requests/s: " + _spoken(of, "ok_per_s", "")
        widgets.plotly_chart(charts.throughput(of), said, height, "per_second")
        st.caption(texts.STUDY_NOTE)
    with widgets.card("Latency"):
        st.caption(texts.LATENCY_NOTE)
        said = "p99 latency: " + _spoken(of, "p99_ms", " ms")
        widgets.plotly_chart(charts.latency_percentiles(of), said, height, "waiting")
    with widgets.card("Errors and rejections"):
        st.markdown(texts.error_summary(of))
        if any(s.failed or s.refused for s in of):
            said = "Timeouts, failures and rejections of each service"
            widgets.plotly_chart(charts.errors(of), said, height, "troubles")


def _spoken(of: Sequence[Summary], field: str, unit: str) -> str:
    return ", ".join(f"{s.service} {getattr(s, field):,.0f}{unit}" for s in of)


def scaling(run: Benchmark) -> None:
    """Draw throughput and latency by number of concurrent connections."""
    if len(run.connections) < 2:
        return
    with widgets.card("Scaling with concurrency"):
        st.caption(texts.SCALING_NOTE)
        by, of = charts.by_concurrency, run.closed_loop
        speed = by(of, lambda s: s.ok_per_s, "%{y:,.0f} requests/s")
        p99 = by(of, lambda s: s.p99_ms, "%{y:,.0f} ms")
        widgets.side_by_side(
            400,
            [
                ("Throughput, requests/s", speed, "Throughput by connections", "more_per_s"),
                ("p99 latency, ms", p99, "p99 latency in ms by connections", "more_p99"),
            ],
        )


def history(runs: Runs) -> None:
    """Draw the trend over runs with about 200 connections, oldest first."""
    points = []
    for made, run in reversed(runs):
        ours, echo = run.nearest(CARDIOWATCH), run.nearest(ECHO)
        if ours is not None and ours.connections in _COMPARABLE:
            points.append(charts.Point(made.astimezone(widgets.zone()), ours, echo))
    with widgets.card("Trend over runs"):
        if len(points) < 2:
            st.markdown(texts.ONE_RUN)
            return
        st.caption(texts.HISTORY_NOTE)
        ratio = "Throughput ratio to the echo"
        ratios: charts.Lines = {CARDIOWATCH: [p.ours.ok_ratio for p in points]}
        p99: charts.Lines = {
            CARDIOWATCH: [p.ours.p99_ms for p in points],
            ECHO: [p.echo.p99_ms if p.echo else None for p in points],
        }
        shown = (
            (ratio, charts.history(points, ratios, "%{y:.2f} times"), ratio, "history_ratio"),
            ("p99 latency, ms", charts.history(points, p99, "%{y:,.0f} ms"),
             "p99 latency in ms over runs", "history_p99"),
        )  # fmt: skip
        widgets.side_by_side(280, shown)


def open_loop(run: Benchmark) -> None:
    """Draw the open-loop test, and explain what wrk hides."""
    with widgets.card("Open-loop test (fixed rate)"):
        st.markdown(texts.CLOSED_LOOP)
        st.markdown(texts.open_loop(run.open_loop))
        if run.open_loop:
            height = charts.chart_height(len(run.open_loop) - 1)
            said = "Latency in ms from the scheduled send time, open loop"
            widgets.plotly_chart(
                charts.open_loop_latency(run.open_loop), said, height, "fixed_rate"
            )


def autoscaling(kept: tuple[datetime, Autoscaling, str | None] | None) -> None:
    """Draw the newest autoscaling record, or how to make one."""
    with widgets.card("Autoscaling"):
        if kept is None:
            st.markdown(texts.NO_AUTOSCALING)
            return
        made, record, note = kept
        if note is not None:
            st.info(f"{texts.shipped(note)} {texts.HOW_TO_RECORD}")
        st.markdown(texts.autoscaling(record))
        st.caption(texts.autoscaler_subtitle(record, widgets.format_time(made)))
        pods = f"Number of pods over time, at most {record.peak}"
        cpu = f"CPU over time beside its target of {record.target} %"
        shown = (
            ("Pods", charts.pods(record), pods, "pods"),
            ("CPU, % of request", charts.cpu(record), cpu, "pods_cpu"),
        )
        widgets.side_by_side(280, shown)


def table(made: datetime, run: Benchmark) -> None:
    """Draw all results of the run as a table, with a CSV download."""
    with widgets.card("All results of this run"):
        frame = pd.DataFrame([asdict(summary) for summary in run.closed_loop])
        frame["service"] = frame["service"].map(escape_formula)
        frame = frame[["service", "connections", *frame.columns.drop(["service", "connections"])]]
        st.dataframe(
            frame.rename(columns=texts.COLUMNS)[list(texts.COLUMNS.values())],
            hide_index=True,
            height=38 + 35 * min(len(frame), 12),
            column_config={
                title: st.column_config.NumberColumn(format=_digits(name))
                for name, title in texts.COLUMNS.items()
                if name != "service"
            },
            key="figures",
            alt="All services and scenarios; also in the CSV file",
        )
        frame = frame.assign(recorded_at=made.isoformat())
        widgets.csv_download("Download CSV", frame, f"load-tests-{made:%Y%m%dT%H%MZ}")


def _digits(field: str) -> str:
    return "%.2f" if field.endswith("_ratio") else "%.1f" if field.endswith("_ms") else "%.0f"


def no_load_tests(*, unreadable: bool) -> None:
    """Draw the screen without runs: how to make one."""
    widgets.heading("Load tests", texts.LEAD)
    if unreadable:
        widgets.notice(texts.UNREADABLE_TITLE, texts.UNREADABLE)
    else:
        widgets.notice(texts.EMPTY_TITLE, texts.HOW_TO_RUN)
