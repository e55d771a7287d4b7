"""Bring the counts of values up to date once: `python -m db.rollup` (the API does it by itself)."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime

from sqlalchemy import func, select

from db.engine import DatabaseUnavailable, check_revision, connect, session
from db.rollups.rollup_worker import COUNT_S, in_own_transactions, roll
from db.schema import unrolled
from settings import SettingsError, load_settings


def main() -> int:
    """Make one pass over the database of the settings; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m db.rollup", description=__doc__)
    parser.parse_args()
    try:
        url = load_settings().database_url
        engine = connect(url)
        check_revision(engine)
        read = connect(url, read_only=True, answer_s=COUNT_S)
        rolled = roll(read, in_own_transactions(engine), datetime.now(UTC))
        with session(read) as connection:
            waiting = connection.scalar(select(func.count()).select_from(unrolled))
    except (DatabaseUnavailable, SettingsError) as error:
        print(error, file=sys.stderr)
        return 1
    read.dispose()
    print(f"{rolled:,} buckets rolled up, {waiting:,} wait for their time to pass")
    return 0


if __name__ == "__main__":
    sys.exit(main())
