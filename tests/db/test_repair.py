"""A damaged SQLite file: noticed, named, and mended as docs/operations.md says."""

from __future__ import annotations

import asyncio
import random
import re
import shlex
from pathlib import Path

import pytest
from sqlalchemy import func, select
from starlette.testclient import TestClient

from api.app import create_app
from db.audit.chain_heads import heads_path
from db.audit.seal_key import SealKey
from db.engine import DatabaseUnavailable, check_integrity, open_engine, session
from db.schema import predictions
from settings import Settings
from tests.db.rows import row, running_log
from tests.programs import ROOT, invoke, run

pytestmark = pytest.mark.slow

PAGE = 4096
ROWS = 2_000


@pytest.fixture
def log(tmp_path: Path, sqlite_url: str, key: SealKey) -> Path:
    """A log of 2,000 rows, written and closed."""

    async def write() -> None:
        async with running_log(sqlite_url, key=key, heads_path=heads_path(key, None)) as log:
            for _ in range(ROWS // 100):
                await log.append([row() for _ in range(100)])

    asyncio.run(write())
    with session(open_engine(sqlite_url)) as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    return tmp_path / "log.db"


def spoil(file: Path, pages: list[int]) -> None:
    """Write noise over pages, as a dying disk does."""
    noise = random.Random(1)  # noqa: S311 - the same damage every time
    with file.open("r+b") as opened:
        for page in pages:
            opened.seek(page * PAGE)
            opened.write(noise.randbytes(PAGE))


def pages_of_rows(file: Path) -> list[int]:
    """Return the pages that hold the rows themselves: spoiling one loses only its rows."""
    text = file.read_bytes()
    leaf = 10  # the kind of a page of a table that is its own index
    return [
        at // PAGE for at in range(0, len(text), PAGE)
        if text[at] == leaf and b"44136fa355b3" in text[at : at + PAGE]
    ]  # fmt: skip


def described(log: Path) -> list[list[str]]:
    """Return the commands that the documentation gives for this case, for this file."""
    docs = (ROOT / "docs" / "operations.md").read_text()
    section = docs.split("### A damaged database file", 1)[1].split("\n### ", 1)[0]
    block = re.findall(r"```\n(.*?)```", section, re.DOTALL)[0].replace(
        "var/cardiowatch.db", str(log)
    )
    return [["-m", *shlex.split(line, comments=True)] for line in block.strip().splitlines()]


@pytest.mark.parametrize("pages", [[3], [0], "a row's", "cut"])
def test_the_service_on_a_damaged_file_is_not_ready_and_says_why(
    log: Path, sqlite_url: str, model_dir: Path, caplog: pytest.LogCaptureFixture, pages: object
) -> None:
    if pages == "cut":
        with log.open("r+b") as file:
            file.truncate(log.stat().st_size // 2 // PAGE * PAGE)
    else:
        spoil(log, pages_of_rows(log)[5:6] if pages == "a row's" else pages)  # type: ignore[arg-type]
    settings = Settings(database_url=sqlite_url, model_dir=model_dir)
    with TestClient(create_app(settings), base_url="http://127.0.0.1") as client:
        reply = client.get("/readyz")
        assert reply.status_code == 503
        assert client.get("/healthz").status_code == 200
    assert "is damaged" in caplog.text
    assert "cardiowatch repair" in caplog.text


def test_the_documented_repair_saves_what_can_be_read_and_names_what_was_lost(
    log: Path, sqlite_url: str, model_dir: Path
) -> None:
    pages = pages_of_rows(log)
    spoiled = [pages[len(pages) // 3], pages[len(pages) // 2]]
    text = log.read_bytes()
    on_them = sum(text[at * PAGE : (at + 1) * PAGE].count(b"44136fa355b3") for at in spoiled)
    spoil(log, spoiled)
    with pytest.raises(DatabaseUnavailable, match="is damaged"):
        check_integrity(open_engine(sqlite_url))

    repaired, verified = [run(*command, database_url=sqlite_url) for command in described(log)]

    assert repaired.returncode == 0, repaired.stderr
    assert "SOME ROWS COULD NOT BE READ" in repaired.stdout
    with session(open_engine(sqlite_url)) as connection:
        left = connection.scalar(select(func.count()).select_from(predictions)) or 0
    assert ROWS - on_them <= left < ROWS, "no row of a sound page is lost"
    assert (verified.returncode, verified.stderr) == (1, "")
    named = re.findall(r"entr(?:y|ies) (\d+)(?: to (\d+))? of writer 1: missing", verified.stdout)
    assert sum(int(last or first) - int(first) + 1 for first, last in named) == ROWS - left
    settings = Settings(database_url=sqlite_url, model_dir=model_dir)
    with TestClient(create_app(settings), base_url="http://127.0.0.1") as client:
        assert client.get("/readyz").status_code == 200
    assert len(list(log.parent.glob("log.db.damaged-*"))) == 1


def test_a_file_of_which_nothing_can_be_read_is_left_alone(log: Path, sqlite_url: str) -> None:
    spoil(log, [0])
    before = log.read_bytes()
    ended = invoke("repair", database_url=sqlite_url)
    assert ended.returncode == 4
    assert "restore a backup" in ended.stderr
    assert log.read_bytes() == before


def test_a_sound_file_is_left_alone(log: Path, sqlite_url: str) -> None:
    before = log.read_bytes()
    ended = invoke("repair", database_url=sqlite_url)
    assert (ended.returncode, ended.stdout) == (0, f"{log} is not damaged; nothing to do\n")
    assert log.read_bytes() == before


def test_only_sqlite_files_are_mended(postgres_url: str) -> None:
    ended = invoke("repair", database_url=postgres_url)
    assert (ended.returncode, ended.stderr.count("\n")) == (4, 1)
