from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, select

from db.engine import DatabaseUnavailable, check_migrated, open_engine, session
from db.ids import new_id
from db.migrate import MIGRATIONS, migrate
from db.reader.queries import Reader
from db.schema import REVISION, dirty_buckets, metadata
from tests.db.rows import row, store_as_before
from tests.postgres import Cluster

LINES = [
    "0001  The first tables.",
    "0002  Rollups (value counts per time bucket), reports and load tests.",
    "0003  Monitoring runs: one report per window, source and model, with its status.",
    "0004  API key, patient reference (HMAC) and seal of each row; the seals form a chain.",
    "0005  Daily partitions, on PostgreSQL.",
    "0006  The columns that each writer seals, in its signed record.",
    "0007  Alerts of monitoring runs, and their messages until they are sent.",
    "0008  The acting user of each row (HMAC).",
    "0009  What clinicians made of predictions.",
]


def _constraints(url: str) -> dict[str, Any]:
    seen = inspect(open_engine(url))
    return {
        table: (
            seen.get_pk_constraint(table)["constrained_columns"],
            sorted(
                (check["name"], check["sqltext"]) for check in seen.get_check_constraints(table)
            ),
            [column["nullable"] for column in seen.get_columns(table)],
        )
        for table in metadata.tables
    }


def test_the_migrated_database_is_what_the_tables_declare(database_url: str) -> None:

    def is_of_the_whole(item: Any, name: str | None, kind: str, *_: object) -> bool:
        """Leave out the days, which are tables of their own, and the key that each of them has."""
        if kind == "foreign_key_constraint":
            return database_url.startswith("sqlite")
        return kind != "table" or name in metadata.tables

    with session(open_engine(database_url)) as connection:
        context = MigrationContext.configure(connection, opts={"include_object": is_of_the_whole})
        assert compare_metadata(context, metadata) == []


def test_keys_and_checks_are_those_of_the_tables_too(
    database_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if database_url.startswith("sqlite"):
        declared = f"sqlite:///{tmp_path}/declared.db"
    else:
        server: Cluster = request.getfixturevalue("postgres_server")
        declared = server.url(server.new_database())
    metadata.create_all(open_engine(declared, create=True))

    assert _constraints(database_url) == _constraints(declared)


def test_the_newest_migration_is_the_one_that_programs_expect() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == REVISION


def test_a_second_migration_has_nothing_to_do(empty_database_url: str) -> None:
    first: list[str] = []
    second: list[str] = []
    migrate(empty_database_url, first.append)
    migrate(empty_database_url, second.append)
    assert first == LINES
    assert second == []


def test_of_two_migrations_at_once_one_does_the_work(empty_database_url: str) -> None:
    command = [sys.executable, "-m", "cardiowatch", "migrate"]

    def run() -> subprocess.CompletedProcess[str]:
        settings = {"CARDIOWATCH_DATABASE_URL": empty_database_url}
        return subprocess.run(command, env=settings, capture_output=True, text=True, check=False)

    with ThreadPoolExecutor() as pool:
        done = [run.result() for run in [pool.submit(run), pool.submit(run)]]

    assert [run.returncode for run in done] == [0, 0], done
    assert sorted(run.stdout for run in done) == ["", "".join(f"{line}\n" for line in LINES)]


def test_a_database_of_a_newer_program_is_left_alone(database_url: str) -> None:
    with session(open_engine(database_url)) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(DatabaseUnavailable, match="newer version"):
        migrate(database_url, lambda _: None)
    check_migrated(open_engine(database_url))  # but served: old processes run during an upgrade


def test_a_database_of_an_older_program_is_not_served(database_url: str) -> None:
    with session(open_engine(database_url)) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0000'")
    with pytest.raises(DatabaseUnavailable, match=r"run cardiowatch migrate"):
        check_migrated(open_engine(database_url))


def test_rows_from_before_the_rollups_wait_to_be_rolled_up(empty_database_url: str) -> None:
    migrate(empty_database_url, lambda _: None, to="0001")
    store_as_before(empty_database_url, [row(id=new_id(ms)) for ms in (0, 1, 299_999, 900_000)])
    migrate(empty_database_url, lambda _: None)
    with session(open_engine(empty_database_url)) as connection:
        marked = connection.execute(select(dirty_buckets.c.width_s, dirty_buckets.c.bucket)).all()
    assert sorted(map(tuple, marked)) == [(300, 0), (300, 900)]


def test_rows_from_before_the_chain_are_read_as_before(empty_database_url: str) -> None:
    migrate(empty_database_url, lambda _: None, to="0003")
    old = row()
    store_as_before(empty_database_url, [old])
    migrate(empty_database_url, lambda _: None)
    reader = Reader(empty_database_url)
    found = reader.get(old[0])
    reader.close()
    assert found is not None
    assert (found["age"], found["key_id"]) == (63.0, None)


def test_only_the_owner_can_read_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "folder with spaces, 100% and ?" / "log.db"
    path.parent.mkdir()
    migrate(f"sqlite:///{path}".replace("%", "%25").replace("?", "%3F"), lambda _: None)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_migration_that_cannot_be_made_says_why_in_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cardiowatch", "migrate"],
        env={"CARDIOWATCH_DATABASE_URL": "sqlite:////proc/nowhere/log.db"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4
    assert done.stderr.startswith("cardiowatch: Cannot create /proc/nowhere/log.db")
    assert done.stderr.count("\n") == 1


def test_a_mistyped_folder_is_not_created(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailable, match=r"there is no folder .*/vra"):
        migrate(f"sqlite:///{tmp_path}/vra/log.db")

    assert list(tmp_path.iterdir()) == []


def test_a_log_in_memory_is_refused() -> None:
    with pytest.raises(DatabaseUnavailable, match="would be lost"):
        migrate("sqlite:///:memory:")


def test_a_log_on_read_only_media_is_read(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.engine.os.access", lambda *_: False)
    reader = Reader(sqlite_url)
    reader.ping()
    reader.close()

    assert [path.name for path in tmp_path.iterdir()] == ["log.db"]
