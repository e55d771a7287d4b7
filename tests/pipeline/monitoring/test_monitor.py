from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from db.ids import new_id
from db.reader.queries import Reader
from db.writer.results import MonitoringRun
from pipeline.dataset.heart import HEART_CSV, read_patients
from pipeline.dataset.synthetic import smoothed_bootstrap
from pipeline.model import load
from pipeline.monitoring.schedule import DAY, NoPredictions, _last_end, windows
from pipeline.monitoring.schedule import monitor as monitor_log
from pipeline.schema import NAMES
from settings import Settings
from tests.alert_receiver import SECRET, running_receiver
from tests.db.rows import running_log
from tests.programs import ROOT

pytestmark = pytest.mark.slow

MIDNIGHT = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
REAL = read_patients(HEART_CSV).features


async def _write(url: str, model_dir: Path, days: int, per_day: int, **values: Any) -> None:
    """Write patients over the days before today, thirteen values each; the half with outcomes."""
    source = values.pop("source", "live")
    model, rows = load(model_dir), []
    drawn = smoothed_bootstrap(REAL, days * per_day, seed=values.pop("seed", 0))
    for name, value in values.items():
        drawn[:, NAMES.index(name)] = value
    probability = model.score(drawn).probability
    for i, (patient, p) in enumerate(zip(drawn, probability, strict=True)):
        ms = int((MIDNIGHT - days * DAY).timestamp() * 1000) + i * 86_400_000 // per_day
        known = [None if np.isnan(value) else float(value) for value in patient]
        answer = (float(p), int(p >= 0.5), 0.5, model.version, 1.0)
        rows.append((new_id(ms), source, *known, *answer, None, None, None))
    async with running_log(url) as log:
        await log.append(rows)
        for row in rows[::2]:
            await log.record_outcome(row[0], int(row[16]), MIDNIGHT - DAY / 2)


def write(url: str, model_dir: Path, days: int, per_day: int = 60, **values: Any) -> None:
    asyncio.run(_write(url, model_dir, days, per_day, **values))


@pytest.fixture
def settings(database_url: str, model_dir: Path) -> Settings:
    return Settings(database_url=database_url, model_dir=model_dir)


@pytest.fixture
def on_sqlite(sqlite_url: str, model_dir: Path) -> Settings:
    return Settings(database_url=sqlite_url, model_dir=model_dir)


@pytest.fixture
def reader(on_sqlite: Settings) -> Iterator[Reader]:
    reader = Reader(on_sqlite.database_url)
    yield reader
    reader.close()


def monitor(settings: Settings, *, source: str | None = None) -> Iterator[MonitoringRun]:
    return monitor_log(settings.database_url, settings.model_dir, source=source)


def report(settings: Settings) -> dict[str, Any]:
    reader = Reader(settings.database_url)
    (newest,) = reader.monitoring_runs(limit=1)
    found = reader.report(newest["id"])
    reader.close()
    assert found is not None
    return found


def test_patients_as_in_training_are_green(settings: Settings, model_dir: Path) -> None:
    write(settings.database_url, model_dir, days=2, per_day=100)
    passes = list(monitor(settings))
    assert [(p.status, p.verdict) for p in passes] == [("green", "No changes detected.")] * 2
    assert [p.until for p in passes] == [MIDNIGHT - DAY, MIDNIGHT]
    found = report(settings)
    assert (found["n"], found["n_week"], found["source"]) == (100, 200, "live")
    assert found["accuracy"]["true"]["n"] == 100  # half of them have an outcome
    assert found["accuracy"]["true"]["accuracy"] == 1.0  # which is what was predicted
    assert 0.7 < found["accuracy"]["estimated"]["accuracy"] < 0.95
    assert "assumes" in found["accuracy"]["estimated"]["note"]


def test_a_finding_that_is_always_unknown_is_red_and_named(
    settings: Settings, model_dir: Path
) -> None:
    write(settings.database_url, model_dir, days=1, per_day=100, thal=np.nan)
    (done,) = monitor(settings)
    assert done.status == "red"
    assert "Thallium scan" in done.verdict
    found = report(settings)
    assert "thal" in found["drift"]["window"]["drifted"]
    assert {f["check"] for f in found["findings"]} >= {"quality", "drift"}


def test_a_drifted_day_is_told_once(on_sqlite: Settings, model_dir: Path) -> None:
    write(on_sqlite.database_url, model_dir, days=1, per_day=100, thal=np.nan)
    with running_receiver() as receiver:
        done = _run(on_sqlite, urls=receiver.url)
        assert done.returncode == 0
        (opened,) = receiver.got
        assert (opened["event"], opened["n"], opened["source"]) == ("opened", 100, "live")
        assert "Thallium scan" in opened["text"]
        assert _run(on_sqlite, urls=receiver.url).returncode == 0  # nothing new
        assert len(receiver.got) == 1
    assert SECRET not in done.stdout + done.stderr


def test_a_second_run_has_nothing_to_do(on_sqlite: Settings, model_dir: Path) -> None:
    write(on_sqlite.database_url, model_dir, days=1)
    assert len(list(monitor(on_sqlite))) == 1
    assert list(monitor(on_sqlite)) == []


def test_two_at_once_write_each_report_once(settings: Settings, model_dir: Path) -> None:
    write(settings.database_url, model_dir, days=2, per_day=40)
    with ThreadPoolExecutor() as pool:
        runs = [pool.submit(lambda: list(monitor(settings))) for _ in range(2)]
        made = [done for run in runs for done in run.result()]
    assert sorted(p.until for p in made) == [MIDNIGHT - DAY, MIDNIGHT]


def test_a_run_that_was_cut_off_is_taken_up_where_it_ended(
    on_sqlite: Settings, model_dir: Path
) -> None:
    write(on_sqlite.database_url, model_dir, days=3, per_day=40)
    first = next(monitor(on_sqlite))  # killed after its first report
    rest = list(monitor(on_sqlite))
    assert [first.until, *(p.until for p in rest)] == [MIDNIGHT - 2 * DAY, MIDNIGHT - DAY, MIDNIGHT]


def test_no_more_windows_than_asked_for_are_caught_up(
    reader: Reader, on_sqlite: Settings, model_dir: Path
) -> None:
    write(on_sqlite.database_url, model_dir, days=5, per_day=2)
    found = list(windows(reader, "live", DAY, MIDNIGHT, 3))
    assert [before for _, before in found] == [MIDNIGHT - 2 * DAY, MIDNIGHT - DAY, MIDNIGHT]
    assert len(list(windows(reader, "live", DAY, MIDNIGHT, 31))) == 5


def test_on_the_first_day_what_has_come_so_far_is_looked_at(
    reader: Reader, on_sqlite: Settings
) -> None:
    async def now() -> None:
        async with running_log(on_sqlite.database_url) as log:
            patient = [63.0, 1, 1, 145.0, 233.0, 1, 2, 150.0, 0, 2.3, 3, 0, 6]
            await log.append(
                [(new_id(), "synthetic", *patient, 0.2, 0, 0.5, "v", 1.0, None, None, None)]
            )

    asyncio.run(now())
    end = _last_end(reader, "synthetic")
    assert timedelta(0) < end - datetime.now(UTC) <= timedelta(minutes=5)
    (done,) = monitor(on_sqlite)
    assert (done.source, done.status) == ("synthetic", "amber")
    assert done.verdict == "Inconclusive, too few data: 1 prediction in 7 days."


def test_live_patients_come_first(on_sqlite: Settings, model_dir: Path) -> None:
    write(on_sqlite.database_url, model_dir, days=1, per_day=5, source="synthetic")
    assert [p.source for p in monitor(on_sqlite)] == ["synthetic"]
    write(on_sqlite.database_url, model_dir, days=1, per_day=5, source="live", seed=1)
    assert [p.source for p in monitor(on_sqlite)] == ["live"]
    assert list(monitor(on_sqlite, source="synthetic")) == []


def test_an_empty_log_says_what_to_do(settings: Settings) -> None:
    with pytest.raises(NoPredictions, match="make run"):
        list(monitor(settings))


def test_the_first_runs_over_an_empty_log_are_no_failure(settings: Settings) -> None:
    done = _run(settings)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (0, "", 1), done.stderr
    assert "nothing logged yet" in done.stderr
    assert _run(settings, "--fail-on", "red", "--source", "live").returncode == 0


def test_what_was_refused_is_in_the_report(
    on_sqlite: Settings, model_dir: Path, tmp_path: Path
) -> None:
    write(on_sqlite.database_url, model_dir, days=1)
    with sqlite3.connect(tmp_path / "log.db") as log:
        log.execute(
            "INSERT INTO rejections (minute, route, status, field, reason, source, count) VALUES"
            " (?, '/predict', 422, 'chol', 'unit', 'live', 20)",
            [f"{MIDNIGHT - DAY / 2:%Y-%m-%d %H:%M:%S.%f}"],
        )
    log.close()
    (done,) = monitor(on_sqlite)
    assert done.verdict == "25 % of requests rejected, mostly for chol (unit)."


def test_more_rows_than_are_read_are_judged_by_their_counts(
    on_sqlite: Settings, model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(Reader.sample.__kwdefaults__, "size", 500)  # type: ignore[arg-type]
    write(on_sqlite.database_url, model_dir, days=1, per_day=1_500)
    list(monitor(on_sqlite))
    found = report(on_sqlite)
    assert found["n"] == 1_500
    assert found["sampled"]["window"] <= 500
    assert found["drift"]["window"]["method"] == "counts"
    assert found["drift"]["window"]["n_current"] == 1_500
    assert found["quality"]["repeats"] is None  # neighbours are not known of a sample


def _run(settings: Settings, *arguments: str, urls: str = "") -> subprocess.CompletedProcess[str]:
    environment = {
        "CARDIOWATCH_DATABASE_URL": settings.database_url,
        "CARDIOWATCH_MODEL_DIR": str(settings.model_dir),
        "CARDIOWATCH_ALERT_URLS": urls,
    }
    command = [sys.executable, "-m", "cardiowatch", "monitor", *arguments]
    return subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_the_program_says_what_it_found_and_fails_only_when_asked_to(
    on_sqlite: Settings, model_dir: Path
) -> None:
    write(on_sqlite.database_url, model_dir, days=1, per_day=100, ca=np.nan, source="synthetic")
    done = _run(on_sqlite)
    assert (done.returncode, done.stdout.split()[2]) == (0, "red"), done.stderr
    assert "synthetic patients, not live ones" in done.stderr
    again = _run(on_sqlite, "--fail-on", "red")
    assert again.returncode == 1
    assert "already has its report" in again.stderr


def test_the_program_says_in_one_line_what_is_wrong(tmp_path: Path, model_dir: Path) -> None:
    missing = Settings(database_url=f"sqlite:///{tmp_path}/none.db", model_dir=model_dir)
    done = _run(missing)
    assert (done.returncode, done.stderr.count("\n")) == (4, 1)
    assert "run cardiowatch migrate" in done.stderr
    assert _run(missing, "--window", "soon").returncode == 2


def test_a_report_is_plain_json_of_a_size_to_keep(on_sqlite: Settings, model_dir: Path) -> None:
    write(on_sqlite.database_url, model_dir, days=1)
    list(monitor(on_sqlite))
    assert len(json.dumps(report(on_sqlite), allow_nan=False)) < 60_000
