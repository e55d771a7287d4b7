"""Look over the log once for every day that has ended: `python -m pipeline.monitor`.

A pass asks whether the values are sound, whether patients have changed, whether groups are treated
as in training, and how many answers are right - estimated, and measured where outcomes have come.
It keeps one report with a green, amber or red status; the same window, source and model is never
reported twice, and days that were missed are caught up. docs/monitoring.md says what it looks for.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import logs
from db.engine import DatabaseUnavailable
from db.reader.queries import Reader
from db.schema import READ_FIRST, SOURCES
from db.writer.results import Pass, add_pass, pass_key
from pipeline.dataset.heart.csv_reader import HEART_CSV, DataError, read
from pipeline.model import EVIDENCE, Model, ModelError, load
from pipeline.monitoring.monitoring_run import FORMAT, Training, Window, look
from settings import Settings, SettingsError, load_settings

DAY = timedelta(days=1)
CATCH_UP = 31
"""Windows that one run looks at, at most: a month, about a minute."""
RED_EXIT = 3


class NothingToWatch(Exception):
    """There are no predictions to look at; one sentence says what to do."""


def source_of(reader: Reader, chosen: str | None) -> str:
    """Return the source to read: the chosen one, or the first of `READ_FIRST` that has rows.

    Raises
    ------
    NothingToWatch
        When it has none.
    """
    counts = reader.sources()
    found = chosen or next((name for name in READ_FIRST if counts[name]), None)
    if found is None or not counts[found]:
        raise NothingToWatch(
            f"There are no predictions of the source {found or 'live, synthetic or replay'}: "
            "make some with make run."
        )
    return found


def windows(
    reader: Reader, source: str, length: timedelta, until: datetime, most: int
) -> Iterator[tuple[datetime, datetime]]:
    """Yield the windows from the first prediction to `until`, oldest first, the last `most`.

    On the first day, when none with a prediction in it has ended, the last one is looked at.
    """
    first = reader.first_received_at(source) or until
    number = min(most, -((first - until) // length))
    for back in range(max(number, 1), 0, -1):
        yield until - back * length, until - (back - 1) * length


def training(model: Model, folder: Path, data: Path = HEART_CSV) -> Training:
    """Read what a window is compared with: the training data and the model's evidence.

    Raises
    ------
    DataError, ModelError
        They cannot be read.
    """
    try:
        evidence: dict[str, Any] = json.loads((folder / EVIDENCE).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"the evidence in {folder} cannot be read: run make train") from error
    patients = read(data)
    if patients.features is None or patients.disease is None:
        raise DataError(f"{data.name} has no label, or its coding cannot be told")
    rows = patients.features.to_numpy(dtype=float)
    return Training.of(rows, patients.disease.to_numpy(dtype=float), model, evidence)


def monitor(
    settings: Settings,
    *,
    source: str | None = None,
    length: timedelta = DAY,
    until: datetime | None = None,
    most: int = CATCH_UP,
) -> Iterator[Pass]:
    """Make the passes that are missing, oldest first, and yield each when it is kept.

    Parameters
    ----------
    settings
        Where the log and the model are.
    source
        One of `SOURCES`; None = live where there is any, else synthetic or replayed patients.
    length, until
        Of the windows; until = None: the last midnight, UTC, or now on the first day.
    most
        Windows to look at.

    Raises
    ------
    NothingToWatch, DatabaseUnavailable, ModelError, DataError
        With one sentence that says what to do.
    """
    model = load(settings.model_dir)
    trained = training(model, settings.model_dir)
    with closing(Reader(settings.database_url)) as reader:
        watched = source_of(reader, source)
        end = until or _last_end(reader, watched)
        for since, before in windows(reader, watched, length, end, most):
            if reader.has_pass(pass_key(watched, model.version, since, before)):
                continue
            window = Window(watched, since, before)
            status, verdict, report = look(reader, window, model, trained)
            done = Pass(watched, model.version, since, before, str(status), verdict)
            if add_pass(settings.database_url, report, done, version=FORMAT):
                yield done


def _last_end(reader: Reader, source: str) -> datetime:
    """Return the last midnight; when all predictions came later, the end of these five minutes."""
    now = datetime.now(UTC)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    first = reader.first_received_at(source)
    if first is None or first < midnight:
        return midnight
    return now.replace(minute=now.minute // 5 * 5, second=0, microsecond=0) + timedelta(minutes=5)


def _length(text: str) -> timedelta:
    found = re.fullmatch(r"([1-9]\d{0,3})([hd])", text)
    if not found:
        raise argparse.ArgumentTypeError("write hours or days, as 24h or 7d")
    return int(found[1]) * (timedelta(hours=1) if found[2] == "h" else DAY)


def _time(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError("write it as 2026-11-24T00:00:00Z") from None
    if moment.tzinfo is None:
        raise argparse.ArgumentTypeError("give the time a zone, as in 2026-11-24T00:00:00Z")
    return moment.astimezone(UTC)


def _number(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError("a number from 1 to 1000")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.monitor", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--window", type=_length, default=DAY, help="length, as 24h or 7d")
    parser.add_argument("--until", type=_time, help="end; default: the last midnight, UTC")
    parser.add_argument("--source", choices=SOURCES, help="default: live where there is any")
    parser.add_argument(
        "--catch-up", type=_number, default=CATCH_UP, metavar="N", help="windows, at most"
    )
    parser.add_argument(
        "--fail-on", choices=("amber", "red"), help=f"exit {RED_EXIT} when the newest is that bad"
    )
    return parser


def main() -> int:
    """Make the missing passes; 0 = made, whatever they found, unless `--fail-on` says otherwise.

    An empty log is a result too: a new cluster's first jobs find nothing to look at.
    """
    options = _parser().parse_args()
    last: Pass | None = None
    try:
        settings = load_settings()
        logs.start(settings.log_format)
        for last in monitor(
            settings,
            source=options.source,
            length=options.window,
            until=options.until,
            most=options.catch_up,
        ):
            text = f"{last.since:%Y-%m-%d %H:%M}  {last.status:5}  {last.verdict}"
            logs.program.info(text, extra={"status": last.status})
        with closing(Reader(settings.database_url)) as reader:
            newest = reader.passes(source=options.source, limit=1)
    except NothingToWatch as empty:
        logs.program.warning(f"monitor: nothing logged yet. {empty}")
        return 0
    except (DatabaseUnavailable, SettingsError, ModelError, DataError) as error:
        logs.program.error(f"monitor: {error}")
        return 1
    if last is None:
        logs.program.warning("monitor: every window has its report already")
    elif last.source != "live":
        logs.program.warning(f"monitor: {last.source} patients, not live ones")
    bad = {"red": ("red",), "amber": ("amber", "red"), None: ()}[options.fail_on]
    return RED_EXIT if newest and newest[0]["status"] in bad else 0


if __name__ == "__main__":
    sys.exit(main())
