"""Delete rows older than `RETENTION_DAYS`: `python -m db.retention`; the API does so, too."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from db.audit.chain import check_key
from db.audit.seal_key import SealError, load_key
from db.engine import DatabaseUnavailable, check_migrated, open_engine
from db.retention.delete_expired import delete_expired
from db.rollups.rollup_worker import COUNT_TIMEOUT_S, transaction_runner
from settings import SettingsError, load_settings


def main(argv: Sequence[str] | None = None) -> int:
    """Delete expired rows; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m db.retention", description=__doc__)
    parser.parse_args(argv)
    try:
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
    except (DatabaseUnavailable, SettingsError, SealError) as error:
        print(error, file=sys.stderr)
        return 1
    read.dispose()
    print(f"Deleted {deleted:,} predictions older than {settings.retention_days} days")
    return 0


if __name__ == "__main__":
    sys.exit(main())
