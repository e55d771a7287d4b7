"""Bring the rollups up to date once: `python -m db.rollup` (the API does so continuously)."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime

from sqlalchemy import func, select

from db.engine import DatabaseUnavailable, check_migrated, open_engine, session
from db.rollups.rollup_worker import COUNT_TIMEOUT_S, transaction_runner, update_rollups
from db.schema import dirty_buckets
from settings import SettingsError, load_settings


def main() -> int:
    """Roll up the database of the settings once; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m db.rollup", description=__doc__)
    parser.parse_args()
    try:
        url = load_settings().database_url
        engine = open_engine(url)
        check_migrated(engine)
        read = open_engine(url, read_only=True, timeout_s=COUNT_TIMEOUT_S)
        rolled = update_rollups(read, transaction_runner(engine), datetime.now(UTC))
        with session(read) as connection:
            waiting = connection.scalar(select(func.count()).select_from(dirty_buckets))
    except (DatabaseUnavailable, SettingsError) as error:
        print(error, file=sys.stderr)
        return 1
    read.dispose()
    print(f"{rolled:,} buckets rolled up, {waiting:,} pending")
    return 0


if __name__ == "__main__":
    sys.exit(main())
