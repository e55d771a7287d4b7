"""Whatever stops the output of a command, it ends with code 4 and one line that says so."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import update

from db.audit.seal_key import SealKey
from db.engine import open_engine, session
from db.schema import predictions
from tests.db.rows import row, running_log
from tests.programs import ROOT, environment, run

pytestmark = pytest.mark.slow

COMMANDS = {
    "verify": [], "export": [], "erase": ["--patient", "bed 7"], "retention": [], "repair": [],
}  # fmt: skip


@pytest.fixture
def settings(sqlite_url: str, key: SealKey) -> dict[str, str]:
    """A sealed log with a row whose API key has a Greek name, which no command of ours gives."""

    async def write() -> None:
        async with running_log(sqlite_url, key=key) as log:
            await log.append([row()])

    asyncio.run(write())
    with session(open_engine(sqlite_url)) as connection:
        connection.execute(update(predictions).values(key_id="Ω", id="Ω"))
    return environment(database_url=sqlite_url, retention_days=30)


def ended(command: str, settings: dict[str, str], stdout: int) -> tuple[int, list[str]]:
    process = subprocess.run(
        [sys.executable, "-m", "cardiowatch", command, *COMMANDS.get(command, [])],
        cwd=ROOT, env=settings, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    return process.returncode, process.stderr.splitlines()


@pytest.mark.parametrize(
    ("command", "unbuffered"),
    [
        *((command, "1") for command in COMMANDS),  # the error comes up within the command
        ("verify", ""),  # after it, where all commands end
        ("export", ""),
    ],
)
def test_a_full_disk(command: str, settings: dict[str, str], unbuffered: str) -> None:
    with Path("/dev/full").open("w") as full:
        code, said = ended(command, settings | {"PYTHONUNBUFFERED": unbuffered}, full.fileno())

    assert (code, said) == (4, ["cardiowatch: No space left on device"])


def test_a_full_disk_after_a_migration(tmp_path: Path) -> None:
    settings = environment(database_url=f"sqlite:///{tmp_path}/log.db")
    with Path("/dev/full").open("w") as full:
        code, said = ended("migrate", settings, full.fileno())

    assert (code, said) == (4, ["cardiowatch: No space left on device"])


@pytest.mark.parametrize("command", ["verify", "export"])
def test_a_closed_pipe(command: str, settings: dict[str, str]) -> None:
    read, write = os.pipe()
    os.close(read)
    code, said = ended(command, settings, write)
    os.close(write)

    assert (code, said) == (4, ["cardiowatch: the output was closed before its end"])


@pytest.mark.parametrize("command", ["verify", "export"])
def test_a_terminal_without_the_letters(command: str, settings: dict[str, str]) -> None:
    code, said = ended(command, settings | {"PYTHONIOENCODING": "ascii"}, subprocess.DEVNULL)

    assert (code, len(said)) == (4, 1)
    assert "PYTHONIOENCODING=utf-8" in said[0]


def test_a_full_disk_leaves_no_part_of_an_export(settings: dict[str, str], tmp_path: Path) -> None:
    full = tmp_path / "export.csv.part"
    full.symlink_to("/dev/full")
    done = run(
        "-m", "cardiowatch", "export", "--output", str(tmp_path / "export.csv"),
        database_url=settings["CARDIOWATCH_DATABASE_URL"],
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (4, f"cardiowatch: No space left on device: {full}\n")
    assert not full.is_symlink()
