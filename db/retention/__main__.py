"""Delete rows older than `RETENTION_DAYS`: `cardiowatch retention`; the API does so, too."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import click

from db.audit.chain import check_key
from db.audit.seal_key import load_key
from db.engine import check_migrated, open_engine
from db.retention.delete_expired import delete_expired
from db.rollups.rollup_worker import COUNT_TIMEOUT_S, transaction_runner
from settings import SettingsError, load_settings


@click.command("retention")
def command() -> None:
    """Delete the rows that are older than CARDIOWATCH_RETENTION_DAYS.

    The API does so every hour. The log still verifies: signed records of what was deleted remain.
    """
    settings = load_settings()
    if settings.retention_days is None:
        raise SettingsError("Nothing deleted: CARDIOWATCH_RETENTION_DAYS is not set.")
    url = settings.database_url
    key = load_key(url, settings.log_hmac_key_file)
    engine = open_engine(url)
    check_migrated(engine)
    check_key(engine, key)
    read = open_engine(url, read_only=True, timeout_s=COUNT_TIMEOUT_S)
    now, write = datetime.now(UTC), transaction_runner(engine)
    deleted = delete_expired(read, write, now, settings.retention_days, key)
    read.dispose()
    print(f"Deleted {deleted:,} predictions older than {settings.retention_days} days")


if __name__ == "__main__":
    from cardiowatch import deprecated

    sys.exit(deprecated("retention"))
