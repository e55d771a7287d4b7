"""Bring the rollups up to date once: `cardiowatch rollup` (the API does so continuously)."""

from __future__ import annotations

from datetime import UTC, datetime

import click
from sqlalchemy import func, select

from db.engine import check_migrated, open_engine, session
from db.rollups.rollup_worker import COUNT_TIMEOUT_S, transaction_runner, update_rollups
from db.schema import dirty_buckets
from settings import load_settings


@click.command("rollup")
def command() -> None:
    """Count the log again for the dashboard, as far as its counts are not up to date.

    The API does so continuously.
    """
    url = load_settings().database_url
    engine = open_engine(url)
    check_migrated(engine)
    read = open_engine(url, read_only=True, timeout_s=COUNT_TIMEOUT_S)
    rolled = update_rollups(read, transaction_runner(engine), datetime.now(UTC))
    with session(read) as connection:
        waiting = connection.scalar(select(func.count()).select_from(dirty_buckets))
    read.dispose()
    print(f"{rolled:,} buckets rolled up, {waiting:,} pending")
