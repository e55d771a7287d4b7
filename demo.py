"""`make demo`: both servers over a history of its own that starts clean and then drifts.

The first start replays sixty days of synthetic patients into `var/demo.db`, looks over every day as
the monitor would have, and says what was done since when. Later starts find that history and begin
in seconds; on another day it is made anew, so that it always ends today.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import run
from db.engine import DatabaseUnavailable
from db.migrate import migrate
from db.reader.queries import Reader
from db.writer.file_lock import LogTaken
from db.writer.writer import LogUnavailable
from perf.load.synthetic_history import DAYS, SOURCE, write
from pipeline.dataset.heart.csv_reader import DataError
from pipeline.model import ModelError, load
from pipeline.monitoring.schedule import NoPredictions, monitor
from run import Stopped, train_if_none
from settings import Settings, SettingsError, load_settings

FILE = Path("var/demo.db")
LOOKED_OVER = DAYS
"""Days of the history for which a monitoring pass is made."""
Say = Callable[[str], None]


def prepare(settings: Settings, file: Path, say: Say) -> Mapping[str, Any]:
    """Return what was done to the patients, after making the history if it is not there.

    It is made beside its place and then moved there: an interrupted start leaves nothing half done.
    """
    now, model = datetime.now(UTC), load(settings.model_dir)
    found = _story(file)
    if found is not None and _is_of(found, now, model.version):
        return found
    part = file.with_suffix(".part")
    _remove(part)
    url = f"sqlite:///{part}"
    migrate(url, lambda _: None)
    say(f"Replaying {DAYS} days of synthetic patients (about a minute, once a day)")
    number = asyncio.run(write(url, model, now))
    say(f"{number:,} patients replayed; looking over each day as the monitor would have")
    passes = list(monitor(url, settings.model_dir, source=SOURCE, limit=LOOKED_OVER))
    worse = sum(done.status != "green" for done in passes)
    say(f"{len(passes)} days looked over, {worse} of them not green")
    _remove(file)
    part.rename(file)
    _remove(part)
    story = _story(file)
    if story is None:
        raise Stopped(f"{file} does not hold the history that was just made: run make demo again")
    return story


def _story(file: Path) -> Mapping[str, Any] | None:
    if not file.exists():
        return None
    try:
        with closing(Reader(f"sqlite:///{file}")) as reader:
            kept = reader.reports(kind=SOURCE, limit=1)
    except DatabaseUnavailable:  # of an older program, or not a database at all
        return None
    return kept[0]["report"] if kept else None


def _is_of(story: Mapping[str, Any], now: datetime, model_version: str) -> bool:
    until = datetime.fromisoformat(story["until"])
    return until.date() == now.date() and story["model_version"] == model_version


def _remove(file: Path) -> None:
    for ending in ("", "-wal", "-shm", ".lock", ".key.heads"):
        file.with_name(file.name + ending).unlink(missing_ok=True)


def _tell(story: Mapping[str, Any], say: Say) -> None:
    say("\nWhat was done to the replayed patients:")
    for change in story["changes"]:
        since, until = (datetime.fromisoformat(change[name]) for name in ("since", "until"))
        say(f"  {since:%d %b} to {until:%d %b}  {change['title']}: {change['sentence']}")


def main() -> int:
    """Make the history if need be, then run both servers on it; return the exit code."""
    say = partial(print, flush=True)
    try:
        run.stop_once()
        settings = load_settings()
        train_if_none(settings)
        _tell(prepare(settings, FILE, say), say)
    except KeyboardInterrupt:
        return 0
    except (
        Stopped, SettingsError, DatabaseUnavailable, ModelError, DataError, NoPredictions,
        LogTaken, LogUnavailable,
    ) as error:  # fmt: skip
        print(error, file=sys.stderr)
        return 1
    os.environ["CARDIOWATCH_DATABASE_URL"] = f"sqlite:///{FILE}"
    return run.main()


if __name__ == "__main__":
    sys.exit(main())
