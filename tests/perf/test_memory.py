"""Memory over many requests, in small."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from perf.memory import Sample, growth_mb
from tests.programs import run

SAMPLES = [
    Sample(0, [90.0], [60.0]),
    Sample(250_000, [100.0], [70.0]),
    Sample(500_000, [104.0, 50.0], [70.0, 20.0]),
    Sample(1_000_000, [105.0, 60.0], [70.0, 20.0]),
]


def test_growth_is_what_the_second_half_adds_to_the_largest_process() -> None:
    assert growth_mb(SAMPLES) == 1.0


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.slow
def test_a_short_run_shows_the_memory_at_each_step(model_dir: Path) -> None:
    ended = run(
        "-m", "cardiowatch", "measure", "memory", "--requests", "200", "--starts", "0",
        model_dir=model_dir, timeout=600,
    )  # fmt: skip

    assert ended.returncode in (0, 1), ended.stderr  # a cold service is not flat yet
    rows = [line for line in ended.stdout.splitlines() if line.startswith("| 200 |")]
    assert len(rows) == 1
    assert 30 < float(rows[0].split("|")[2]) < 300  # a Python service, in MB


@pytest.mark.slow
def test_on_sqlite_the_driver_of_postgresql_is_not_in_memory(tmp_path: Path) -> None:
    look = (
        "import sys, api.app; from db.writer.writer import LogWriter; LogWriter(sys.argv[1]); "
        "print('psycopg' in sys.modules)"
    )

    on_sqlite = run("-c", look, f"sqlite:///{tmp_path}/log.db")
    on_postgresql = run("-c", look, "postgresql+psycopg://nobody@127.0.0.1/none")

    assert (on_sqlite.stdout, on_postgresql.stdout) == ("False\n", "True\n")
