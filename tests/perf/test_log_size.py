"""The log measured at a given size, in small."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from db.ids import new_id
from db.migrate import migrate
from db.writer.writer import LogWriter
from tests.programs import run

pytestmark = pytest.mark.slow

SHORT = (
    "-m",
    "cardiowatch",
    "measure",
    "log-size",
    "--rows",
    "450",
    "--seconds",
    "0.5",
    "--rounds",
    "1",
)


def test_on_postgresql_days_are_dropped_and_deleted_and_the_rest_verifies(
    postgres_server: object, model_dir: Path
) -> None:
    ended = run(*SHORT, "--postgresql", model_dir=model_dir, timeout=600)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    rows = dict(re.findall(r"a day (dropped|deleted): (\d+) rows", ended.stdout))
    # 15 rows a day, evenly spaced from the middle of a day: 16 fit where the first is at its edge
    assert 1 <= int(rows["dropped"]) <= 16
    assert int(rows["deleted"]) in (15, 16)
    assert ended.stdout.endswith(" 0 findings of `cardiowatch verify`\n")


def test_on_sqlite_a_day_is_deleted_after_reading_monitoring_and_appending(model_dir: Path) -> None:
    ended = run(*SHORT, model_dir=model_dir, timeout=600)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "monitoring run: " in ended.stdout
    assert "1,000 appends/s, the rollup worker: p99 " in ended.stdout
    assert ended.stdout.count("a day deleted: ") == 1
    assert ended.stdout.endswith(" 0 findings of `cardiowatch verify`\n")


async def _predict(url: str) -> None:
    log = LogWriter(url)
    await log.start()
    await log.register_model("0123456789ab", "{}")
    answer = (0.25, 0, 0.5, "0123456789ab", 1.5, None, None)
    await log.append([(new_id(), "live", 60.0, 1.0, *[None] * 11, *answer)])
    await log.stop()


def test_a_log_of_real_predictions_is_not_filled(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/log.db"
    migrate(url, lambda _: None)
    asyncio.run(_predict(url))
    before = (tmp_path / "log.db").read_bytes()

    ended = run(*SHORT, "--database", url)

    assert ended.returncode == 4
    assert "real predictions" in ended.stderr
    assert (tmp_path / "log.db").read_bytes() == before
