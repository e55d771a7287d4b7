"""The lock of a SQLite log: one process writes to it."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO

from sqlalchemy import Engine

from db.engine import DatabaseUnavailable
from errors import CardiowatchError


class LogLocked(CardiowatchError):
    """Another process is writing to the same SQLite file; the message says what to do."""


def lock_file(engine: Engine) -> IO[str] | None:
    """Keep a second process from writing to the same SQLite file: its batches would collide.

    Returns the lock, to be closed at the end; None on PostgreSQL, which allows several writers.

    Raises
    ------
    LogLocked
        Another process is writing to it.
    """
    if engine.dialect.name != "sqlite":
        return None
    path = Path(f"{engine.url.database}.lock")
    try:
        file = path.open("a")
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise LogLocked(
            f"Another process is writing to {engine.url.database}: stop it, or use PostgreSQL, "
            "which allows several writers."
        ) from None
    except OSError as error:
        raise DatabaseUnavailable(f"Cannot lock {path}: {error.strerror}.") from error
    return file
