"""Writes results: reports of monitoring runs and summaries of load tests.

Programs write them directly, each in one short transaction; predictions have their own writer.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Table, insert

from db.engine import open_engine, transaction, upsert
from db.ids import new_id, timestamp_of
from db.schema import MONITORING, load_tests, reports
from db.writer.alerts import record_status


class MonitoringRun(NamedTuple):
    """A monitoring run in short, as a history of them shows it."""

    source: str
    model_version: str
    since: datetime
    until: datetime
    status: str
    """green, amber or red."""
    verdict: str
    """The reason in one sentence."""

    @property
    def key(self) -> str:
        """The same for two runs over the same window, source and model."""
        return run_key(self.source, self.model_version, self.since, self.until)


def run_key(source: str, model_version: str, since: datetime, until: datetime) -> str:
    """Return a run's key: the same window, source and model is the same run."""
    window = f"{since:%Y-%m-%dT%H:%M:%S.%fZ}/{until:%Y-%m-%dT%H:%M:%S.%fZ}"
    return f"{source} {model_version} {window}"


def add_report(url: str, report: Mapping[str, Any], *, version: int, kind: str = MONITORING) -> str:
    """Store a report, whose format has a version; return its id.

    Raises
    ------
    DatabaseUnavailable
        When the database cannot be written.
    """
    values = {"format": version, "report": json.dumps(report, allow_nan=False), "kind": kind}
    return _add(url, reports, values)


def add_monitoring_run(
    url: str,
    report: Mapping[str, Any],
    done: MonitoringRun,
    *,
    version: int,
    facts: Mapping[str, Any] | None = None,
    receivers: Collection[str] = (),
) -> bool:
    """Store the report of a monitoring run, once; return False if another process was faster.

    In the same transaction the alert of its source is opened, continued or resolved, with `facts`
    queued as messages to the `receivers` (`db.writer.alerts`).

    Raises
    ------
    DatabaseUnavailable
        When the database cannot be written.
    """
    engine, made = open_engine(url), new_id()
    row = {
        "id": made,
        "recorded_at": timestamp_of(made),
        "format": version,
        "report": json.dumps(report, allow_nan=False),
        "kind": MONITORING,
        "key": done.key,
        **{name: getattr(done, name) for name in ("source", "since", "until", "status", "verdict")},
    }
    with transaction(engine) as connection:
        insert_once = upsert(connection, reports).on_conflict_do_nothing()
        added = connection.execute(insert_once.returning(reports.c.id), row).first()
        if added is not None:
            record_status(connection, done.source, done.until, done.status, facts or {}, receivers)
    engine.dispose()
    return added is not None


def add_load_test(url: str, kind: str, summary: Mapping[str, Any]) -> str:
    """Store the summary of a load test; return its id.

    Raises
    ------
    DatabaseUnavailable
        When the database cannot be written.
    """
    return _add(url, load_tests, {"kind": kind, "summary": json.dumps(summary, allow_nan=False)})


def _add(url: str, table: Table, values: dict[str, Any]) -> str:
    engine = open_engine(url)
    row = {"id": new_id(), **values}
    with transaction(engine) as connection:
        connection.execute(insert(table), row | {"recorded_at": timestamp_of(row["id"])})
    engine.dispose()
    return str(row["id"])
