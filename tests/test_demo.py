"""`cardiowatch demo`: its history is built once, survives an interruption and is found again."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest

import cardiowatch
import demo
import run
from db.engine import open_engine
from db.reader.queries import Reader
from db.writer.file_lock import lock_file
from settings import Settings

pytestmark = pytest.mark.slow


@pytest.fixture
def settings(model_dir: Path) -> Settings:
    return Settings(model_dir=model_dir)


def test_the_history_is_made_once_and_looked_over_day_by_day(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "MONITORED_DAYS", 2)  # the whole history takes half a minute
    file, said = tmp_path / "demo.db", []
    (tmp_path / "demo.part").write_bytes(b"what an interrupted start left")
    (tmp_path / "demo.db.key.heads").write_bytes(b"how far yesterday's history had come")

    scenario = demo.build_history(settings, file, said.append)

    assert [change["title"] for change in scenario["changes"]] == [
        "A unit error", "Other patients", "A new hospital",
    ]  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir() if "-" not in path.name) == [
        "demo.db", "demo.db.lock",
    ]  # fmt: skip
    reader = Reader(f"sqlite:///{file}")
    runs = reader.monitoring_runs()
    reader.close()
    assert [found["status"] for found in runs] == ["red", "red"]  # the new hospital
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    assert runs[0]["until"] == midnight

    said.clear()
    assert demo.build_history(settings, file, said.append) == scenario
    assert said == []


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The database of a demo that has been running since yesterday."""
    file = tmp_path / "demo.db"
    file.write_bytes(b"yesterday's history")
    monkeypatch.setattr(demo, "FILE", file)
    monkeypatch.setattr(demo, "MONITORED_DAYS", 1)
    return file


def test_a_demo_that_is_running_keeps_its_ports_and_its_database(
    running: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "interrupt_once", lambda: None)
    monkeypatch.setenv("CARDIOWATCH_MODEL_DIR", str(model_dir))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        monkeypatch.setenv("CARDIOWATCH_API_PORT", str(listening.getsockname()[1]))
        with pytest.raises(run.StartupError, match="is in use"):
            cardiowatch.root.main(["demo"], standalone_mode=False)
    assert running.read_bytes() == b"yesterday's history"


def test_a_second_demo_on_other_ports_waits_for_nothing_and_replaces_nothing(
    running: Path, settings: Settings
) -> None:
    lock = lock_file(open_engine(f"sqlite:///{running}"))  # as one that prepares or its API has it
    assert lock is not None
    with lock, pytest.raises(run.StartupError, match="Another make demo is using"):
        demo.build_history(settings, running, print)
    assert running.read_bytes() == b"yesterday's history"


def test_a_file_that_is_no_history_is_made_anew(tmp_path: Path) -> None:
    file = tmp_path / "demo.db"
    assert demo._scenario(file) is None
    file.write_bytes(b"not a database")
    assert demo._scenario(file) is None


def test_yesterdays_history_or_another_models_is_not_todays() -> None:
    now = datetime(2026, 11, 24, 9, tzinfo=UTC)
    scenario = {"until": "2026-11-24T08:00:00+00:00", "model_version": "a"}
    assert demo._is_current(scenario, now, "a")
    assert not demo._is_current(scenario, now, "b")
    assert not demo._is_current(scenario | {"until": "2026-11-23T23:00:00+00:00"}, now, "a")
