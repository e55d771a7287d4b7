"""Both servers over a history that drifts: `cardiowatch demo`, which is `make demo`.

The first start replays sixty days of synthetic patients into `var/demo.db`, runs monitoring for
each completed day, and prints the simulated changes. Later starts reuse that history and take
seconds; on another day it is built again, so that it always ends today.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from contextlib import closing, nullcontext, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import click

import run
from db.engine import DatabaseUnavailable, open_engine
from db.migrate import migrate
from db.reader.queries import Reader
from db.writer.file_lock import LogLocked, lock_file
from perf.load.synthetic_history import SOURCE, write_history
from pipeline.dataset.heart import DAYS
from pipeline.model import load
from pipeline.monitoring.schedule import monitor
from run import StartupError, train_if_missing
from settings import Settings, load_settings

FILE = Path("var/demo.db")
MONITORED_DAYS = DAYS
"""Days of the history that monitoring is run for."""
Report = Callable[[str], None]


def build_history(settings: Settings, file: Path, report: Report) -> Mapping[str, Any]:
    """Return the simulated changes, after building the history if it does not exist.

    It is built in another file and then renamed: an interrupted start leaves no incomplete history.

    Raises
    ------
    StartupError
        Another demo is building or serving it.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        lock = lock_file(open_engine(f"sqlite:///{file}"))
    except LogLocked:
        raise StartupError(f"Another make demo is using {file}: stop it first") from None
    with lock or nullcontext():
        return _current_history(settings, file, report)


def _current_history(settings: Settings, file: Path, report: Report) -> Mapping[str, Any]:
    now, model = datetime.now(UTC), load(settings.model_dir)
    found = _scenario(file)
    if found is not None and _is_current(found, now, model.version):
        return found
    part = file.with_suffix(".part")
    _remove(part, ".lock")
    url = f"sqlite:///{part}"
    migrate(url, lambda _: None)
    report(f"Replaying {DAYS} days of synthetic patients (about a minute, once a day)")
    number = asyncio.run(write_history(url, model, now))
    report(f"{number:,} patients replayed; running monitoring for each completed day")
    runs = list(monitor(url, settings.model_dir, source=SOURCE, limit=MONITORED_DAYS))
    worse = sum(done.status != "green" for done in runs)
    report(f"{len(runs)} monitoring runs, {worse} of them not green")
    _remove(file)
    part.rename(file)
    _remove(part, ".lock")
    scenario = _scenario(file)
    if scenario is None:
        raise StartupError(f"{file} does not contain the generated history: run make demo again")
    return scenario


def _scenario(file: Path) -> Mapping[str, Any] | None:
    if not file.exists():
        return None
    try:
        with closing(Reader(f"sqlite:///{file}")) as reader:
            kept = reader.reports(kind=SOURCE, limit=1)
    except DatabaseUnavailable:  # from an older version, or not a database
        return None
    return kept[0]["report"] if kept else None


def _is_current(scenario: Mapping[str, Any], now: datetime, model_version: str) -> bool:
    until = datetime.fromisoformat(scenario["until"])
    return until.date() == now.date() and scenario["model_version"] == model_version


def _remove(file: Path, *more: str) -> None:
    for ending in ("", "-wal", "-shm", ".key.heads", *more):
        file.with_name(file.name + ending).unlink(missing_ok=True)


def _print_scenario(scenario: Mapping[str, Any], report: Report) -> None:
    report("\nChanges simulated in the replayed patients:")
    for change in scenario["changes"]:
        since, until = (datetime.fromisoformat(change[name]) for name in ("since", "until"))
        report(f"  {since:%d %b} to {until:%d %b}  {change['title']}: {change['sentence']}")


@click.command("demo")
def command() -> None:
    """Start the API and the dashboard over sixty synthetic days that drift.

    The first start of a day builds that history in var/demo.db (about a minute) and prints the
    simulated changes. It takes nothing from your own log.
    """
    report = partial(print, flush=True)
    run.interrupt_once()
    with suppress(KeyboardInterrupt):
        settings = load_settings()
        run.require_free_ports(settings)
        train_if_missing(settings)
        _print_scenario(build_history(settings, FILE, report), report)
        os.environ["CARDIOWATCH_DATABASE_URL"] = f"sqlite:///{FILE}"
        run.run(load_settings(), report)
