"""Delete what is older than `RETENTION_DAYS`: `python -m db.retention`; the API does it, too."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from db.audit.chain import check_key
from db.audit.seal_key import SealError, key_for
from db.engine import DatabaseUnavailable, check_revision, connect
from db.retention.delete_expired import expire
from db.rollups.rollup_worker import COUNT_S, in_own_transactions
from settings import SettingsError, load_settings


def main(argv: Sequence[str] | None = None) -> int:
    """Delete what the settings no longer keep; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m db.retention", description=__doc__)
    parser.parse_args(argv)
    try:
        settings = load_settings()
        if settings.retention_days is None:
            raise SettingsError("Nothing is deleted: CARDIOWATCH_RETENTION_DAYS is not set.")
        url = settings.database_url
        key = key_for(url, settings.log_hmac_key_file)
        engine = connect(url)
        check_revision(engine)
        check_key(engine, key)
        read = connect(url, read_only=True, answer_s=COUNT_S)
        now, write = datetime.now(UTC), in_own_transactions(engine)
        deleted = expire(read, write, now, settings.retention_days, key)
    except (DatabaseUnavailable, SettingsError, SealError) as error:
        print(error, file=sys.stderr)
        return 1
    read.dispose()
    print(f"Deleted predictions of more than {settings.retention_days} days ago: {deleted:,}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
