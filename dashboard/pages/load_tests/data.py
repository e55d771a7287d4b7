"""The benchmarks and autoscaling records in the log."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

import streamlit as st

from dashboard.shared import data_access
from pipeline.load_tests import autoscaling as scaling
from pipeline.load_tests.benchmark import KIND, Benchmark, UnreadableBenchmark, from_dict


@st.cache_data(ttl=data_access.CACHE_TTL_S, max_entries=1)
def load_tests() -> tuple[list[tuple[datetime, Benchmark]], int]:
    """Return the newest runs of `cardiowatch bench`, newest first, and how many are unreadable."""
    kept = [row for row in data_access.reader().load_tests(limit=100) if row["kind"] == KIND]
    runs = []
    for row in kept:
        with suppress(UnreadableBenchmark):
            runs.append((row["recorded_at"], from_dict(row["summary"])))
    return runs, len(kept) - len(runs)


@st.cache_data(ttl=data_access.CACHE_TTL_S, max_entries=1)
def autoscaling() -> tuple[datetime, scaling.Autoscaling] | None:
    """Return the newest record of an autoscaler that can be read, and when it was kept."""
    for row in data_access.reader().load_tests(limit=100):
        if row["kind"] == scaling.KIND:
            with suppress(scaling.UnreadableRecord):
                return row["recorded_at"], scaling.from_dict(row["summary"])
    return None
