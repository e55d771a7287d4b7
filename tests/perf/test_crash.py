"""What was acknowledged outlives the service, and the program that says so can say otherwise."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from db.ids import new_id
from db.migrate import migrate
from db.schema import PREDICTION_COLUMNS
from db.writer.writer import LogWriter
from perf.crash import CrashCounts, crash, failed
from perf.load.http_client import encode_requests
from perf.load.request_bodies import write_bodies
from tests.programs import run


@pytest.mark.slow
def test_nothing_acknowledged_is_missing_after_sigkill(model_dir: Path) -> None:
    ended = run("-m", "cardiowatch", "measure", "crash", "--kills", "2", model_dir=model_dir)

    assert ended.returncode == 0, ended.stderr
    assert " 0 of them missing" in ended.stdout


@pytest.mark.slow
def test_nor_with_several_workers_on_postgresql(model_dir: Path, postgres_url: str) -> None:
    ended = run(
        "-m", "cardiowatch", "measure", "crash", "--kills", "2", "--workers", "2",
        "--database", postgres_url, model_dir=model_dir,
    )  # fmt: skip

    assert ended.returncode == 0, ended.stderr
    assert " 0 of them missing" in ended.stdout


@pytest.mark.slow
def test_on_sigterm_everything_accepted_is_answered(model_dir: Path) -> None:
    ended = run(
        "-m",
        "cardiowatch",
        "measure",
        "crash",
        "--kills",
        "2",
        "--signal",
        "TERM",
        model_dir=model_dir,
    )

    assert ended.returncode == 0, ended.stderr
    assert " 0 stored but not acknowledged, 0 rejected" in ended.stdout


@pytest.mark.slow
def test_a_service_that_acknowledges_without_storing_is_found_out(
    tmp_path: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARDIOWATCH_MODEL_DIR", str(model_dir))
    url = f"sqlite:///{tmp_path}/log.db"
    migrate(url, lambda _: None)
    requests = encode_requests(write_bodies(tmp_path / "bodies.jsonl", patients=10))

    counts = crash(url, requests, 1, 4, gently=False, module="perf.baselines.no_log")

    assert counts.acknowledged > 0
    assert counts.missing == counts.acknowledged
    assert failed(counts, gently=False)


@pytest.mark.parametrize(
    ("counts", "after_kill", "after_term"),
    [
        (CrashCounts(acknowledged=9), False, False),
        (CrashCounts(acknowledged=9, missing=1), True, True),
        (CrashCounts(acknowledged=9, unanswered=1), False, True),
        (CrashCounts(acknowledged=9, refused=1), False, True),
        (CrashCounts(acknowledged=9, bad_exits=1), False, True),
        (CrashCounts(acknowledged=9, interrupted=1), False, False),
        (CrashCounts(), True, True),
    ],
)
def test_a_kill_may_cut_requests_off_and_a_stop_may_not(
    counts: CrashCounts, after_kill: bool, after_term: bool
) -> None:
    assert (failed(counts, gently=False), failed(counts, gently=True)) == (after_kill, after_term)


async def _log_one_live_row(url: str) -> None:
    row = dict.fromkeys(PREDICTION_COLUMNS) | {
        "id": new_id(), "source": "live", "age": 63, "sex": 1, "probability": 0.5,
        "prediction": 1, "threshold": 0.5, "model_version": "v", "latency_ms": 1.0,
    }  # fmt: skip
    log = LogWriter(url)
    await log.start()
    await log.append([tuple(row[name] for name in PREDICTION_COLUMNS)])
    await log.stop()


@pytest.mark.slow
def test_a_log_that_somebody_uses_is_left_alone(tmp_path: Path, model_dir: Path) -> None:
    url = f"sqlite:///{tmp_path}/log.db"
    migrate(url, lambda _: None)
    asyncio.run(_log_one_live_row(url))

    ended = run("-m", "cardiowatch", "measure", "crash", "--database", url, model_dir=model_dir)

    assert ended.returncode == 4
    assert "other predictions" in ended.stderr
