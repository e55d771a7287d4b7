"""The benchmarks and autoscaling records in the log; without any, those that the project ships."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import streamlit as st

from dashboard.shared import data_access
from pipeline.load_tests import autoscaling as scaling
from pipeline.load_tests.benchmark import KIND, Benchmark, UnreadableBenchmark, from_dict

SHIPPED = Path(__file__).parents[3] / "data" / "load_tests.json"
"""Rows of the table `load_tests`, each with a `note` on how it was made."""
_PROGRAM = Path(__file__).parents[3] / "cardiowatch.py"
_SHORT = ("--connections", "200", "--seconds", "2", "--rounds", "1")


class LoadTests(NamedTuple):
    """The newest runs of `cardiowatch bench`, newest first."""

    runs: list[tuple[datetime, Benchmark]]
    unreadable: int
    note: str | None
    """On a run that was recorded elsewhere and ships with the project; None = own runs."""


@st.cache_data(ttl=data_access.CACHE_TTL_S, max_entries=1)
def load_tests() -> LoadTests:
    """Return the runs in the log, or the one that ships with the project."""
    kept, note = _records(KIND)
    runs = []
    for row in kept:
        with suppress(UnreadableBenchmark):
            runs.append((row["recorded_at"], from_dict(row["summary"])))
    return LoadTests(runs, len(kept) - len(runs), note)


class ShortRun:
    """A short load test in the background; one at a time, whoever starts it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, unless it runs already; it takes a minute or two."""
        if not self.running:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, str(_PROGRAM), "bench", *_SHORT], cwd=_PROGRAM.parent
            )

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def failed(self) -> bool:
        """Whether the last one ended without a result."""
        return self._process is not None and self._process.poll() not in (None, 0)


@st.cache_resource
def short_run() -> ShortRun:
    """Return the short run of this process."""
    return ShortRun()


@st.cache_data(ttl=data_access.CACHE_TTL_S, max_entries=1)
def autoscaling() -> tuple[datetime, scaling.Autoscaling, str | None] | None:
    """Return the newest readable record, when it was made, and the note of a shipped one."""
    kept, note = _records(scaling.KIND)
    for row in kept:
        with suppress(scaling.UnreadableRecord):
            return row["recorded_at"], scaling.from_dict(row["summary"]), note
    return None


def _records(kind: str) -> tuple[list[dict[str, Any]], str | None]:
    """Return the records of a kind, newest first, and the note where they are not our own."""
    own = [row for row in data_access.reader().load_tests(limit=100) if row["kind"] == kind]
    if own:
        return own, None
    for row in json.loads(SHIPPED.read_text("utf-8")):
        if row["kind"] == kind:
            return [row | {"recorded_at": datetime.fromisoformat(row["recorded_at"])}], row["note"]
    return [], None
