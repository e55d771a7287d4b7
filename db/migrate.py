"""Migrate the database to the newest schema: `cardiowatch migrate`; safe to run concurrently."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import alembic.command
import click
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection

from db.engine import DatabaseUnavailable, begin_transaction, open_engine, session
from settings import load_settings

MIGRATIONS = Path(__file__).with_name("migrations")

MIGRATION_TIMEOUT_S = 3600.0
"""A migration may rewrite a large table, and a second one waits for the first."""

_DEFAULT_FOLDER = Path("var")  # of the setting; any other folder may be mistyped

_ADVISORY_LOCK = 0x63617264696F  # "cardio"; unique to this program


def migrate(url: str, report: Callable[[str], None] = print, *, to: str = "head") -> None:
    """Apply the missing migrations in one transaction: all of them or none.

    Parameters
    ----------
    url
        Of the database; a missing file of a SQLite database is created.
    report
        Receives one line per migration.
    to
        The migration to stop at; tests start from an older database.

    Raises
    ------
    DatabaseUnavailable
        When the database cannot be reached or written.
    """
    engine = open_engine(url, create=True, timeout_s=MIGRATION_TIMEOUT_S)
    if engine.dialect.name == "sqlite":
        _make_file(Path(engine.url.database or ""))
    with session(engine) as connection:
        begin_locked(connection)
        try:
            alembic.command.upgrade(_config(connection, report), to)
        except CommandError as error:
            raise DatabaseUnavailable(
                f"The database was created by a newer version: {error}"
            ) from None
        connection.exec_driver_sql("COMMIT")
    engine.dispose()


def begin_locked(connection: Connection) -> None:
    """Begin a transaction that blocks a second migration."""
    begin_transaction(connection)
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")


def _config(connection: Connection, report: Callable[[str], None]) -> Config:
    def on_version_apply(step: Any, **_: Any) -> None:
        report(f"{step.up_revision_id}  {step.up_revision.doc}")

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes.update(connection=connection, on_version_apply=on_version_apply)
    return config


def _make_file(path: Path) -> None:
    """Create the file with access for its owner only: it holds patient data."""
    try:
        if path.parent == _DEFAULT_FOLDER:
            path.parent.mkdir(exist_ok=True)
        if not path.parent.is_dir():
            raise DatabaseUnavailable(
                f"Cannot create {path}: there is no folder {path.parent}; create it, or correct "
                "CARDIOWATCH_DATABASE_URL."
            )
        path.touch(mode=0o600)
    except OSError as error:
        raise DatabaseUnavailable(f"Cannot create {path}: {error.strerror}.") from error


@click.command("migrate")
def command() -> None:
    """Create the database of the settings, or migrate it to the newest schema.

    All missing migrations are applied, or none; one run waits for another.
    """
    migrate(load_settings().database_url)


if __name__ == "__main__":
    from cardiowatch import deprecated

    sys.exit(deprecated("migrate"))
