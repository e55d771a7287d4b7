"""A log, saved and restored by the very commands of docs/operations.md."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from db.audit.seal_key import SealKey
from db.engine import check_integrity, open_engine, session
from db.ids import new_id
from db.migrate import migrate
from db.schema import predictions
from db.verify import verify_log
from tests.db.rows import row, running_log
from tests.postgres import Cluster
from tests.programs import ROOT, environment

pytestmark = pytest.mark.slow

DAYS = 4
HEADS = "/var/lib/cardiowatch/heads"
DOCKER = f"""#!/bin/sh
# Runs here what Compose would run in a container; services that start and stop are nobody.
shift
case $1 in
stop | up) exit ;;
cp) exec cp "${{2#api:}}" "$3" ;;
esac
[ "$1" = exec ] || entrypoint=cardiowatch
while [ "$1" != postgres ] && [ "$1" != api ] && [ "$1" != migrate ]; do
    [ "$1" != --entrypoint ] || entrypoint=$2
    shift
done
[ "$*" = migrate ] || shift  # the command of this service has its name
set -- $entrypoint "$@"
[ "$1" != cardiowatch ] || {{ cd {ROOT} && set -- {sys.executable} -m "$@"; }}
exec "$@"
"""


def commands(section: str, heads: Path) -> list[str]:
    """Return the commands of a section of the operations page, with the heads where ours are."""
    docs = (ROOT / "docs" / "operations.md").read_text()
    section = docs.split(f"### {section}\n", 1)[1].split("\n### ", 1)[0]
    blocks = re.findall(r"```\n(.*?)```", section, re.DOTALL)
    return "".join(blocks).replace(HEADS, str(heads)).splitlines()


@pytest.fixture
def server(mortal_server: Cluster) -> Cluster:
    """A server with the user and the database of the compose stack."""
    mortal_server.query("postgres", "CREATE ROLE cardiowatch SUPERUSER LOGIN")
    mortal_server.query(
        "postgres", "CREATE DATABASE cardiowatch OWNER cardiowatch TEMPLATE template0"
    )
    return mortal_server


async def write(url: str, key: SealKey, heads: Path) -> None:
    """Write ten rows of each of some days, as one process of the service."""
    async with running_log(url, key=key, heads_path=heads) as log:
        for day in range(DAYS):
            time = datetime.now(UTC) - timedelta(days=day)
            ids = [new_id(int(time.timestamp() * 1000)) for _ in range(10)]
            await log.append([row(id=each) for each in ids])
            await log.record_outcome(ids[0], 1, None)
            await log.record_response(ids[0], "override", "other")


def test_the_documented_commands_save_and_restore_the_log(
    server: Cluster, key: SealKey, tmp_path: Path
) -> None:
    url, heads = server.url("cardiowatch"), tmp_path / "heads"
    migrate(url, lambda _: None)
    (tmp_path / "docker").write_text(DOCKER)
    (tmp_path / "docker").chmod(0o755)
    settings = environment(database_url=url, log_hmac_key_file=key.path) | {
        "PATH": f"{tmp_path}:{os.environ['PATH']}", "PGHOST": str(server.folder),
    }  # fmt: skip

    def run(command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-c", f"umask 022; {command}"],
            cwd=tmp_path, env=settings, capture_output=True, text=True, check=False,
        )  # fmt: skip

    backup, *restore = commands("Backup and restore", heads)
    asyncio.run(write(url, key, heads))
    saved = run(backup)
    assert saved.returncode == 0, saved.stderr
    assert (tmp_path / "log.dump").stat().st_mode & 0o777 == 0o600
    asyncio.run(write(url, key, heads))
    ended = {command: run(command) for command in restore}

    failed = {command: each.stderr for command, each in ended.items() if each.returncode}
    assert [command.endswith("rows are lost") for command in failed] == [True], failed
    with session(open_engine(url)) as connection:
        assert connection.scalar(select(func.count()).select_from(predictions)) == DAYS * 10
    assert "writer 2: missing, with its entire chain" in (tmp_path / "lost.txt").read_text()
    asyncio.run(write(url, key, heads))
    assert verify_log(url, key, [heads]).findings == []
    assert verify_log(url, key, [tmp_path / "heads.before-restore"]).findings


async def write_and_save(url: str, key: SealKey, folder: Path) -> None:
    """Make a backup of a running service, and the files of the same after a kill, in `var`."""
    async with running_log(url, key=key) as log:
        file = Path(url.removeprefix("sqlite:///"))
        await log.append([row() for _ in range(100)])
        with closing(sqlite3.connect(file)) as now, closing(sqlite3.connect(folder / "COPY")) as to:
            now.backup(to)
        await log.append([row() for _ in range(1_000)])
        with session(open_engine(url)) as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint")
        await log.append([row() for _ in range(100)])
        (folder / "var").mkdir()
        for end in ("", "-wal", "-shm"):
            shutil.copy(f"{file}{end}", folder / "var" / f"cardiowatch.db{end}")


def test_the_documented_commands_put_a_backup_in_the_place_of_a_sqlite_file(
    sqlite_url: str, key: SealKey, tmp_path: Path
) -> None:
    asyncio.run(write_and_save(sqlite_url, key, tmp_path))
    section = commands("A damaged database file", tmp_path)
    for command in section[section.index("mkdir -m 700 before-restore") :]:
        subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True)
    url = f"sqlite:///{tmp_path}/var/cardiowatch.db"
    check_integrity(open_engine(url))
    verdict = verify_log(url, key)
    assert (verdict.findings, verdict.counts["predictions"]) == ([], 100)
    assert len(list((tmp_path / "before-restore").iterdir())) == 3


def test_copies_of_the_log_are_their_owners_alone() -> None:
    docs = (ROOT / "docs" / "operations.md").read_text()
    for copy in ("sqlite3 FILE", "docker compose exec -T postgres pg_dump"):
        assert docs.count(copy) == docs.count(f"(umask 077; {copy}") == 1
