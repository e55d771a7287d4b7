"""The load test on a real wrk, for a second or two."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from db.migrate import migrate
from db.reader.queries import Reader
from pipeline.load_tests.benchmark import from_dict
from tests.programs import run, running

pytestmark = pytest.mark.slow


@pytest.fixture
def wrk() -> None:
    if shutil.which("wrk") is None:
        reason = "wrk is missing: apt-get install wrk (macOS: brew install wrk)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/kept.db"
    migrate(url, lambda _: None)
    return url


@pytest.mark.usefixtures("wrk")
def test_a_quick_run_measures_ours_beside_the_echo_without_an_error(
    tmp_path: Path, model_dir: Path, database_url: str
) -> None:
    ended = run(
        "-m", "cardiowatch", "bench", "--quick", "--connections", "32", "--seconds", "1",
        "--out", str(tmp_path), model_dir=model_dir, database_url=database_url,
    )  # fmt: skip

    assert ended.returncode == 0, ended.stderr
    results = json.loads(next(tmp_path.glob("*.json")).read_text())
    summaries = {summary["service"]: summary for summary in results["closed_loop"]}
    assert set(summaries) == {
        "Cardiowatch, durable", "Cardiowatch on stock uvicorn", "Cardiowatch without its log",
        "FastAPI echo",
    }  # fmt: skip
    assert {summary["connections"] for summary in summaries.values()} == {32}
    assert all(summary["ok_per_s"] > 0 for summary in summaries.values())
    assert all(summary["failed"] == 0 for summary in summaries.values())
    assert {result["failed"] for result in results["open_loop"]} == {0}
    assert "| Cardiowatch, durable |" in ended.stdout
    reader = Reader(database_url)
    (kept,), rows = reader.load_tests(), reader.sources()
    reader.close()
    assert kept["summary"] == results
    assert from_dict(kept["summary"]).complete
    assert not any(rows.values()), "only the summary reaches the configured database"


@pytest.mark.usefixtures("wrk")
def test_an_interrupted_run_keeps_what_was_measured(
    tmp_path: Path, model_dir: Path, database_url: str
) -> None:
    settings = {"model_dir": model_dir, "database_url": database_url}
    with running(
        "-m",
        "cardiowatch",
        "bench",
        "--quick",
        "--rounds",
        "99",
        "--out",
        str(tmp_path),
        **settings,
    ) as bench:
        assert bench.stdout is not None
        next(line for line in bench.stdout if line.startswith("round 1 of 99"))

    assert bench.returncode == 143  # 128 + SIGTERM
    reader = Reader(database_url)
    kept = from_dict(reader.load_tests()[0]["summary"])
    reader.close()
    assert not kept.complete
    assert kept.closed_loop[0].service == "Cardiowatch, durable"


@pytest.mark.usefixtures("wrk")
def test_a_database_that_cannot_keep_it_is_named_before_anything_is_measured(
    tmp_path: Path, model_dir: Path
) -> None:
    missing = f"sqlite:///{tmp_path}/none.db"
    ended = run("-m", "cardiowatch", "bench", "--quick", model_dir=model_dir, database_url=missing)

    assert ended.returncode == 4
    assert "cardiowatch migrate" in ended.stderr
    assert "--no-store" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_without_wrk_it_names_the_command_that_installs_it(
    tmp_path: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    ended = run(
        "-m", "cardiowatch", "bench", "--quick", "--out", str(tmp_path), model_dir=model_dir
    )

    assert ended.returncode == 4
    assert "apt-get install wrk" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
