"""Check the log once for every completed day: `python -m pipeline.monitor`.

A monitoring run asks whether the values are sound, whether the patients have changed, whether
groups are treated as in training, and how accurate the predictions are. It stores one report with
a green, amber or red status; docs/monitoring.md says what it checks.
"""

from __future__ import annotations

import argparse
import re
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta

import logs
from db.engine import DatabaseUnavailable
from db.reader.queries import Reader
from db.schema import SOURCES
from db.writer.results import MonitoringRun
from pipeline.dataset.heart.csv_reader import DataError
from pipeline.model import ModelError
from pipeline.monitoring.schedule import DAY, MAX_CATCH_UP, NoPredictions, monitor
from settings import SettingsError, load_settings

EXIT_FAIL_ON = 3


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
        "--catch-up", type=_number, default=MAX_CATCH_UP, metavar="N", help="windows, at most"
    )
    parser.add_argument(
        "--fail-on", choices=("amber", "red"), help=f"exit {EXIT_FAIL_ON} at this status or worse"
    )
    return parser


def main() -> int:
    """Make the monitoring runs that are due; return 0 whatever they found, without `--fail-on`.

    An empty log is no error: a new cluster's first jobs find nothing to check.
    """
    options = _parser().parse_args()
    last: MonitoringRun | None = None
    try:
        settings = load_settings()
        logs.configure(settings.log_format)
        for last in monitor(
            settings.database_url,
            settings.model_dir,
            source=options.source,
            length=options.window,
            until=options.until,
            limit=options.catch_up,
        ):
            text = f"{last.since:%Y-%m-%d %H:%M}  {last.status:5}  {last.verdict}"
            logs.program.info(text, extra={"status": last.status})
        with closing(Reader(settings.database_url)) as reader:
            newest = reader.monitoring_runs(source=options.source, limit=1)
    except NoPredictions as empty:
        logs.program.warning(f"monitor: nothing logged yet. {empty}")
        return 0
    except (DatabaseUnavailable, SettingsError, ModelError, DataError) as error:
        logs.program.error(f"monitor: {error}")
        return 1
    if last is None:
        logs.program.warning("monitor: every window already has its report")
    elif last.source != "live":
        logs.program.warning(f"monitor: {last.source} patients, not live ones")
    bad = {"red": ("red",), "amber": ("amber", "red"), None: ()}[options.fail_on]
    return EXIT_FAIL_ON if newest and newest[0]["status"] in bad else 0


if __name__ == "__main__":
    sys.exit(main())
