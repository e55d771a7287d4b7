"""The load test on a real wrk, for a second or two."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.programs import run


@pytest.fixture
def wrk() -> None:
    if shutil.which("wrk") is None:
        reason = "wrk is missing: apt-get install wrk (macOS: brew install wrk)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.mark.usefixtures("wrk")
def test_a_quick_run_measures_ours_beside_the_echo_without_an_error(
    tmp_path: Path, model_dir: Path
) -> None:
    ended = run("-m", "perf.bench", "--quick", "--out", str(tmp_path), model_dir=model_dir)

    assert ended.returncode == 0, ended.stderr
    results = json.loads(next(tmp_path.glob("*.json")).read_text())
    summaries = {summary["service"]: summary for summary in results["closed_loop"]}
    assert set(summaries) == {
        "Cardiowatch, durable", "Cardiowatch without its log", "FastAPI echo",
    }  # fmt: skip
    assert all(summary["ok_per_s"] > 0 for summary in summaries.values())
    assert all(summary["failed"] == 0 for summary in summaries.values())
    assert {result["failed"] for result in results["open_loop"]} == {0}
    assert "| Cardiowatch, durable |" in ended.stdout


def test_without_wrk_it_names_the_command_that_installs_it(
    tmp_path: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    ended = run("-m", "perf.bench", "--quick", "--out", str(tmp_path), model_dir=model_dir)

    assert ended.returncode == 1
    assert "apt-get install wrk" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
