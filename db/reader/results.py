"""Reads reports, load tests and counts of rejections."""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, select

from db.engine import QUERY_TIMEOUT_S, open_engine, session
from db.ids import is_id
from db.schema import MONITORING, alert_messages, alerts, load_tests, rejections, reports

_STANDBY_TIME = "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_xact_replay_timestamp() END"


class ResultsReader:
    """The part of `queries.Reader` that does not read predictions; see there for parameters."""

    def __init__(self, url: str, *, timeout_s: float = QUERY_TIMEOUT_S) -> None:
        self._engine = open_engine(url, read_only=True, timeout_s=timeout_s)

    def close(self) -> None:
        """Close the idle connections."""
        self._engine.dispose()

    def standby_time(self) -> datetime | None:
        """Return up to when a standby has the log; None where the primary is read."""
        if self._engine.dialect.name == "sqlite":
            return None
        with session(self._engine) as connection:
            found: datetime | None = connection.exec_driver_sql(_STANDBY_TIME).scalar()
        return found

    def rejection_counts(
        self, *, since: datetime, until: datetime, source: str, limit: int = 100
    ) -> list[dict[str, Any]]:
        """Count a window's rejections by field and reason, the most frequent first."""
        c, number = rejections.c, func.sum(rejections.c.count).label("count")
        wanted = select(c.field, c.reason, number).group_by(c.field, c.reason)
        wanted = wanted.where(c.minute >= since, c.minute < until, c.source == source)
        rows = self._rows(wanted.order_by(number.desc(), c.field, c.reason).limit(limit))
        return [row | {"count": int(row["count"])} for row in rows]

    def rejections(
        self, *, since: datetime | None = None, limit: int = 50, without: Collection[str] = ()
    ) -> list[dict[str, Any]]:
        """Return the newest counts of rejected requests, one per minute and reason.

        Each has the `total` of all, those beyond the limit too. `without` names sources to leave
        out.
        """
        c = rejections.c
        wanted = select(rejections, func.sum(c.count).over().label("total"))
        wanted = wanted.where(c.source.not_in(without)).order_by(c.minute.desc()).limit(limit)
        if since is not None:
            if since.tzinfo is None:
                raise ValueError("a time without a zone is ambiguous")
            wanted = wanted.where(c.minute >= since.replace(second=0, microsecond=0))
        return self._rows(wanted)

    def reports(
        self, *, kind: str = MONITORING, source: str | None = None, limit: int = 50
    ) -> list[dict[str, Any]]:
        """Return the newest reports of a kind: id, recorded_at, format, report (as data)."""
        columns = [reports.c[name] for name in ("id", "recorded_at", "format", "report")]
        wanted = select(*columns).where(reports.c.kind == kind)
        if source is not None:
            wanted = wanted.where(reports.c.source == source)
        return self._results(wanted.order_by(reports.c.id.desc()).limit(limit), "report")

    def monitoring_runs(
        self, *, source: str | None = None, limit: int = 50
    ) -> list[dict[str, Any]]:
        """Return the monitoring runs with the newest windows, without their reports.

        Returns
        -------
        list of dict
            id, recorded_at, source, since, until, status (green, amber, red), verdict.
        """
        c = reports.c
        wanted = select(c.id, c.recorded_at, c.source, c.since, c.until, c.status, c.verdict)
        wanted = wanted.where(c.kind == MONITORING, c.until.is_not(None))
        if source is not None:
            wanted = wanted.where(c.source == source)
        return self._rows(wanted.order_by(c.until.desc(), c.id.desc()).limit(limit))

    def has_monitoring_run(self, key: str) -> bool:
        """Return whether a monitoring run exists, by `db.writer.results.run_key`."""
        wanted = select(reports.c.id).where(reports.c.kind == MONITORING, reports.c.key == key)
        return bool(self._rows(wanted))

    def report(self, id: str) -> dict[str, Any] | None:  # noqa: A002
        """Return one report, as data, or None."""
        if not is_id(id):
            return None
        rows = self._rows(select(reports.c.report).where(reports.c.id == id))
        return json.loads(rows[0]["report"]) if rows else None

    def open_alert(self, source: str) -> dict[str, Any] | None:
        """Return the unresolved alert of a source with its `facts` (as data), or None."""
        wanted = select(alerts).where(alerts.c.source == source, alerts.c.resolved_at.is_(None))
        return next(iter(self._results(wanted, "facts")), None)

    def undelivered_alerts(self) -> list[dict[str, Any]]:
        """Return the alert messages that failed so far: event, attempts, due_at, error."""
        c = alert_messages.c
        wanted = select(c.event, c.attempts, c.due_at, c.error)
        return self._rows(wanted.where(c.sent_at.is_(None), c.error.is_not(None)).order_by(c.id))

    def load_tests(self, *, limit: int = 50) -> list[dict[str, Any]]:
        """Return the newest load tests: id, recorded_at, kind, summary (as data)."""
        wanted = select(load_tests).order_by(load_tests.c.id.desc()).limit(limit)
        return self._results(wanted, "summary")

    def _results(self, wanted: Select[Any], field: str) -> list[dict[str, Any]]:
        found = self._rows(wanted)
        return [row | {field: json.loads(row[field])} for row in found]

    def _rows(self, wanted: Select[Any]) -> list[dict[str, Any]]:
        with session(self._engine) as connection:
            return [dict(row) for row in connection.execute(wanted).mappings()]
