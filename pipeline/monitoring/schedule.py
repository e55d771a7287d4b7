"""Which windows are due, and one monitoring run for each.

The same window, source and model is never reported twice, and missed days are caught up.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from db.reader.queries import Reader
from db.schema import DEFAULT_SOURCES
from db.writer.results import MonitoringRun, add_monitoring_run, run_key
from errors import CardiowatchError
from pipeline.model import EVIDENCE_FILE, ModelError, load
from pipeline.monitoring.alerts import facts_of
from pipeline.monitoring.monitoring_run import FORMAT, ExpectedAccuracy, Window, run
from pipeline.training.reference import load_reference

DAY = timedelta(days=1)
MAX_CATCH_UP = 31
"""Windows of one call: a month, about a minute."""


class NoPredictions(CardiowatchError):
    """The log has no predictions; one sentence says what to do."""


def select_source(reader: Reader, source: str | None) -> str:
    """Return the source to read: the chosen one, or the first of `READ_FIRST` that has rows.

    Raises
    ------
    NoPredictions
        When it has none.
    """
    counts = reader.sources()
    found = source or next((name for name in DEFAULT_SOURCES if counts[name]), None)
    if found is None or not counts[found]:
        raise NoPredictions(
            f"There are no predictions of the source {found or 'live, synthetic or replay'}: "
            "make some with make run."
        )
    return found


def windows(
    reader: Reader, source: str, length: timedelta, until: datetime, limit: int
) -> Iterator[tuple[datetime, datetime]]:
    """Yield the windows from the first prediction to `until`, oldest first, the last `limit`.

    On the first day, when no window with predictions is complete, the last one is yielded.
    """
    first = reader.first_received_at(source) or until
    number = min(limit, -((first - until) // length))
    for back in range(max(number, 1), 0, -1):
        yield until - back * length, until - (back - 1) * length


def load_expected(folder: Path) -> ExpectedAccuracy:
    """Return what the evidence of a model says of its predictions.

    Raises
    ------
    ModelError
        It cannot be read.
    """
    try:
        evidence: dict[str, Any] = json.loads((folder / EVIDENCE_FILE).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"the evidence in {folder} cannot be read: run make train") from error
    return ExpectedAccuracy.of(evidence)


def monitor(
    database_url: str,
    model_dir: Path,
    *,
    source: str | None = None,
    length: timedelta = DAY,
    until: datetime | None = None,
    limit: int = MAX_CATCH_UP,
    receivers: Collection[str] = (),
) -> Iterator[MonitoringRun]:
    """Make the monitoring runs that are due, oldest first, and yield each when it is stored.

    Parameters
    ----------
    database_url, model_dir
        Where the log and the model are.
    source
        One of `SOURCES`; None = live where there is any, else synthetic or replayed patients.
    length, until
        Of the windows; until = None: the last midnight, UTC, or now on the first day.
    limit
        Windows at most.
    receivers
        For whom messages are queued when an alert opens or ends (`pipeline.monitoring.alerts`).

    Raises
    ------
    NoPredictions, DatabaseUnavailable, ModelError
        With one sentence that says what to do.
    """
    model = load(model_dir)
    reference, expected = load_reference(model_dir, model), load_expected(model_dir)
    with closing(Reader(database_url)) as reader:
        chosen = select_source(reader, source)
        end = until or _last_end(reader, chosen)
        for since, before in windows(reader, chosen, length, end, limit):
            if reader.has_monitoring_run(run_key(chosen, model.version, since, before)):
                continue
            window = Window(chosen, since, before)
            status, verdict, report = run(
                reader, window, model, reference, expected, newest=before == end
            )
            done = MonitoringRun(chosen, model.version, since, before, str(status), verdict)
            facts = facts_of(report)
            if add_monitoring_run(
                database_url, report, done, version=FORMAT, facts=facts, receivers=receivers
            ):
                yield done


def _last_end(reader: Reader, source: str) -> datetime:
    """Return the last midnight; when all predictions came later, the end of these five minutes."""
    now = datetime.now(UTC)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    first = reader.first_received_at(source)
    if first is None or first < midnight:
        return midnight
    return now.replace(minute=now.minute // 5 * 5, second=0, microsecond=0) + timedelta(minutes=5)
