"""The panels of the Load tests page: the newest run beside the others, run over run, the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.pages.load_tests import charts, texts
from dashboard.shared import widgets
from db.export import no_formula
from pipeline.load_tests.autoscaling import Autoscaling
from pipeline.load_tests.benchmark import ECHO, OURS, Benchmark, Summary

Runs = Sequence[tuple[datetime, Benchmark]]

_COMPARABLE = range(150, 301)
"""Connections: runs with about as many can be drawn in one line."""


def verdict(made: datetime, run: Benchmark) -> None:
    """Draw what the run showed, when and on what machine, and what speaks against quoting it."""
    st.title(texts.verdict(run), anchor=False)
    st.caption(texts.made(run, widgets.when(made)))
    for doubt in texts.doubts(run):
        st.markdown(f":orange[{doubt}]")


def chosen(runs: Runs) -> tuple[datetime, Benchmark]:
    """Let the viewer choose a run, the newest first."""
    if len(runs) == 1:
        return runs[0]
    number = st.selectbox(
        "Run",
        range(len(runs)),
        format_func=lambda i: f"{widgets.when(runs[i][0])}{' (newest)' if i == 0 else ''}",
        key="run",
        width=260,
    )
    return runs[number]


def connections(run: Benchmark) -> list[Summary]:
    """Let the viewer choose the number of connections; return what was measured with it."""
    options = run.connections
    nearest = min(options, key=lambda c: abs(c - 200))
    picked = st.segmented_control(
        "Connections at once",
        options,
        default=nearest,
        required=True,
        format_func=lambda c: f"{c:,}",
        key=f"connections_{'_'.join(map(str, options))}",
    )
    return run.at(picked or nearest)


def beside(of: Sequence[Summary]) -> None:
    """Draw answers a second, waiting times and failures of each service beside each other."""
    height = charts.rows_of(len(of))
    with widgets.card("Answers a second"):
        st.caption(f"{texts.scenario(of)}. {texts.PER_S_NOTE}")
        said = "Answers a second of each service: " + _spoken(of, "ok_per_s", "")
        widgets.over_time(charts.per_second(of), said, height, "per_second")
        st.caption(texts.STUDY_NOTE)
    with widgets.card("How long an answer takes"):
        st.caption(texts.WAIT_NOTE)
        said = "99 of 100 answers came within: " + _spoken(of, "p99_ms", " ms")
        widgets.over_time(charts.waiting(of), said, height, "waiting")
    with widgets.card("What was not answered"):
        st.markdown(texts.troubles(of))
        if any(s.failed or s.refused for s in of):
            said = "Timeouts, other failures and refusals of each service"
            widgets.over_time(charts.troubles(of), said, height, "troubles")


def _spoken(of: Sequence[Summary], field: str, unit: str) -> str:
    return ", ".join(f"{s.service} {getattr(s, field):,.0f}{unit}" for s in of)


def more(run: Benchmark) -> None:
    """Draw how each service bends when more ask at once."""
    if len(run.connections) < 2:
        return
    with widgets.card("When more ask at once"):
        st.caption(texts.MORE_NOTE)
        halves = st.grid(2, min_column_width=420, gap="small")
        with halves.cell():
            st.subheader("Answers a second", anchor=False)
            figure = charts.by_connections(
                run.closed_loop, lambda s: s.ok_per_s, "%{y:,.0f} a second"
            )
            widgets.over_time(figure, "Answers a second by connections", 400, "more_per_s")
        with halves.cell():
            st.subheader("99 of 100 answers within, ms", anchor=False)
            figure = charts.by_connections(run.closed_loop, lambda s: s.p99_ms, "%{y:,.0f} ms")
            widgets.over_time(figure, "p99 in ms by connections", 400, "more_p99")


def history(runs: Runs) -> None:
    """Draw the runs with about 200 connections, oldest first."""
    points = []
    for made, run in reversed(runs):
        ours, echo = run.nearest(OURS), run.nearest(ECHO)
        if ours is not None and ours.connections in _COMPARABLE:
            points.append(charts.Point(made.astimezone(widgets.zone()), ours, echo))
    with widgets.card("Run over run"):
        if len(points) < 2:
            st.markdown(texts.ONE_RUN)
            return
        st.caption(texts.HISTORY_NOTE)
        halves = st.grid(2, min_column_width=420, gap="small")
        with halves.cell():
            st.subheader("Times the echo's answers a second", anchor=False)
            lines = {OURS: [p.ours.ok_ratio for p in points]}
            figure = charts.history(points, lines, "%{y:.2f} times")
            widgets.over_time(figure, "Ratio to the echo run over run", 280, "history_ratio")
        with halves.cell():
            st.subheader("99 of 100 answers within, ms", anchor=False)
            lines = {
                OURS: [p.ours.p99_ms for p in points],
                ECHO: [p.echo.p99_ms if p.echo else None for p in points],
            }
            figure = charts.history(points, lines, "%{y:,.0f} ms")
            widgets.over_time(figure, "p99 in ms run over run", 280, "history_p99")


def open_loop(run: Benchmark) -> None:
    """Draw the check at a fixed rate, and say what wrk hides."""
    with widgets.card("At a fixed rate"):
        st.markdown(texts.CLOSED_LOOP)
        st.markdown(texts.open_loop(run.open_loop))
        if run.open_loop:
            height = charts.rows_of(len(run.open_loop) - 1)
            said = "Milliseconds from when a request was due to its answer, at a fixed rate"
            widgets.over_time(charts.fixed_rate(run.open_loop), said, height, "fixed_rate")


def autoscaling(kept: tuple[datetime, Autoscaling] | None) -> None:
    """Draw what the newest watched autoscaler did, or say how one is watched."""
    with widgets.card("When a cluster adds pods"):
        if kept is None:
            st.markdown(texts.NOT_WATCHED)
            return
        made, record = kept
        st.markdown(texts.autoscaling(record))
        st.caption(texts.watched(record, widgets.when(made)))
        halves = st.grid(2, min_column_width=420, gap="small")
        with halves.cell():
            st.subheader("Pods", anchor=False)
            said = f"Pods over time, {record.peak} at most"
            widgets.over_time(charts.pods(record), said, 280, "pods")
        with halves.cell():
            st.subheader("CPU, percent of the request", anchor=False)
            said = f"CPU over time beside its target of {record.target} %"
            widgets.over_time(charts.cpu(record), said, 280, "pods_cpu")


def table(made: datetime, run: Benchmark) -> None:
    """Draw every figure of the run as a table, and offer it as CSV."""
    with widgets.card("All figures of this run"):
        frame = pd.DataFrame([asdict(summary) for summary in run.closed_loop])
        frame["service"] = frame["service"].map(no_formula)
        frame = frame[["service", "connections", *frame.columns.drop(["service", "connections"])]]
        st.dataframe(
            frame.rename(columns=texts.COLUMNS)[list(texts.COLUMNS.values())],
            hide_index=True,
            height=38 + 35 * min(len(frame), 12),
            column_config=_columns(),
            key="figures",
            alt="Every service in every scenario; the same figures are in the CSV file",
        )
        st.download_button(
            "Download CSV",
            frame.assign(recorded_at=made.isoformat()).to_csv(index=False).encode(),
            file_name="cardiowatch-load-tests.csv",
            mime="text/csv",
            on_click="ignore",
        )


def _columns() -> dict[str, Any]:
    return {
        words: st.column_config.NumberColumn(format=_digits(name))
        for name, words in texts.COLUMNS.items()
        if name != "service"
    }


def _digits(field: str) -> str:
    return "%.2f" if field.endswith("_ratio") else "%.1f" if field.endswith("_ms") else "%.0f"


def nothing(*, unreadable: bool) -> None:
    """Draw the screen without a run: how to make one."""
    widgets.heading("Load tests", texts.LEAD)
    if unreadable:
        widgets.calm(texts.UNREADABLE_TITLE, texts.UNREADABLE)
    else:
        widgets.calm(texts.EMPTY_TITLE, texts.EMPTY)
