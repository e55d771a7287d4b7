"""The log measured at a given size, in small."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from db.ids import new_id
from db.writer.writer import LogWriter
from tests.programs import run

pytestmark = pytest.mark.slow

SHORT = ("-m", "cardiowatch", "measure", "log-size", "--rows", "450")


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_it_times_pages_and_a_monitoring_run(
    database: str, model_dir: Path, request: pytest.FixtureRequest
) -> None:
    if database == "postgresql":
        request.getfixturevalue("postgres_server")  # skips where there is none
    options = ["--postgresql"] if database == "postgresql" else []

    ended = run(*SHORT, *options, model_dir=model_dir, timeout=600)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "450 rows written" in ended.stdout
    assert "monitoring run: " in ended.stdout
    assert "stream of all: " in ended.stdout


async def _predict(url: str) -> None:
    log = LogWriter(url)
    await log.start()
    await log.register_model("0123456789ab", "{}")
    answer = (0.25, 0, 0.5, "0123456789ab", 1.5, None, None, None)
    await log.append([(new_id(), "live", 60.0, 1.0, *[None] * 11, *answer)])
    await log.stop()


def test_a_log_of_real_predictions_is_not_filled(sqlite_url: str, tmp_path: Path) -> None:
    asyncio.run(_predict(sqlite_url))
    before = (tmp_path / "log.db").read_bytes()

    ended = run(*SHORT, "--database", sqlite_url)

    assert ended.returncode == 4
    assert "real predictions" in ended.stderr
    assert (tmp_path / "log.db").read_bytes() == before
