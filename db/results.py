"""What programs found: reports of monitoring passes and summaries of load tests.

They are written by the programs themselves, each in one short transaction; the log of predictions
has its own writer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Table, insert

from db.engine import connect, transaction
from db.ids import new_id, time_of
from db.tables import load_tests, reports


def add_report(url: str, report: Mapping[str, Any], *, version: int) -> str:
    """Keep the report of a monitoring pass, whose format has a version; return its id.

    Raises
    ------
    DatabaseUnavailable
        When the database cannot be written.
    """
    return _add(url, reports, {"format": version, "report": json.dumps(report, allow_nan=False)})


def add_load_test(url: str, kind: str, summary: Mapping[str, Any]) -> str:
    """Keep the summary of a load test; return its id.

    Raises
    ------
    DatabaseUnavailable
        When the database cannot be written.
    """
    return _add(url, load_tests, {"kind": kind, "summary": json.dumps(summary, allow_nan=False)})


def _add(url: str, table: Table, values: dict[str, Any]) -> str:
    engine = connect(url)
    row = {"id": new_id(), **values}
    with transaction(engine) as connection:
        connection.execute(insert(table), row | {"recorded_at": time_of(row["id"])})
    engine.dispose()
    return str(row["id"])
