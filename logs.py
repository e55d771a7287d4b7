"""How the programs log: lines of text on a laptop, lines of JSON in a container.

No patient's value reaches a log. Of an exception only its type and locations are written, never its
message, which may quote the input; of a record's further fields, only those of `FIELDS`. A
successful request has no line: its row is the record.

The standard library's logging, not structlog: uvicorn, SQLAlchemy, Alembic and Streamlit use it
already, and a formatter is all that their lines and ours need.
"""

from __future__ import annotations

import json
import logging
import logging.config
import sys
import traceback
from collections.abc import Hashable, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from time import monotonic
from types import TracebackType
from typing import Any

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The request that is worked on; in every line that is written meanwhile."""

FIELDS = ("request_id", "route", "status", "reason", "count")
"""What a record may carry in `extra`, beside its message."""

access = logging.getLogger("cardiowatch.uses")
"""Who read what with which API key; always written, to standard output."""

chain_heads = logging.getLogger("cardiowatch.heads")
"""The log's chain heads, where no file keeps them; always written, to standard output."""

program = logging.getLogger("cardiowatch.program")
"""What a program tells the user who started it; as text, without level and name."""

_PLACES = 5
"""Innermost frames of an exception that are written."""


class TextFormatter(logging.Formatter):
    """Text: level, logger, message, then the fields; an exception as its type and places."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        fields = " ".join(f"{name}={value}" for name, value in _fields(record).items())
        places = f" [{_type_and_places(record)}]" if record.exc_info else ""
        text = f"{record.levelname} {record.name}: {record.getMessage().strip()}{places}"
        return f"{text} ({fields})" if fields else text


class JsonFormatter(logging.Formatter):
    """One JSON object; `severity` is where Google's log looks for the level."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "severity": record.levelname,
            "logger": record.name,
            "message": record.getMessage().strip(),
            **_fields(record),
        }
        if record.exc_info:
            line["exception"] = _type_and_places(record)
        return json.dumps(line, default=str)


class SplitStreamHandler(logging.StreamHandler[Any]):
    """Results go to standard output, warnings and errors to standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record."""
        # Looked up each time, because tests redirect them.
        self.stream = sys.stderr if record.levelno >= logging.WARNING else sys.stdout
        super().emit(record)


class LogThrottle:
    """Lets one event of a kind through per interval, and counts the others.

    A database that is down causes thousands of equal lines a second, and none of them helps.
    """

    def __init__(self, every_s: float = 1.0) -> None:
        self._every_s = every_s
        self._next: dict[Hashable, float] = {}
        self._held: dict[Hashable, int] = {}

    def admit(self, kind: Hashable) -> int:
        """Return how many events to log one line for: those held back and this; 0 = hold back."""
        now = monotonic()
        held = self._held.get(kind, 0) + 1
        if now < self._next.get(kind, 0.0):
            self._held[kind] = held
            return 0
        self._next[kind], self._held[kind] = now + self._every_s, 0
        return held


def logging_config(form: str) -> dict[str, Any]:
    """Return what `logging.config.dictConfig` takes; uvicorn hands it to each of its workers.

    Parameters
    ----------
    form
        "json", or "text" for lines that people read.
    """
    lines = {"()": "logs.JsonFormatter" if form == "json" else "logs.TextFormatter"}
    sentence: dict[str, Any] = lines if form == "json" else {"format": "%(message)s"}
    dated: dict[str, Any] = lines if form == "json" else {"format": "%(asctime)s %(message)s"}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"lines": lines, "sentence": sentence, "dated": dated},
        "handlers": {
            "log": {"class": "logging.StreamHandler", "formatter": "lines"},
            "program": {"class": "logs.SplitStreamHandler", "formatter": "sentence"},
            "uses": {"class": "logs.SplitStreamHandler", "formatter": "dated"},
        },
        "loggers": {
            program.name: {"handlers": ["program"], "level": "INFO", "propagate": False},
            access.name: {"handlers": ["uses"], "level": "INFO", "propagate": False},
            chain_heads.name: {"handlers": ["uses"], "level": "INFO", "propagate": False},
        },
        "root": {"handlers": ["log"], "level": "WARNING"},
    }


def configure(form: str) -> None:
    """Log in this form from now on; as JSON, warnings and uncaught exceptions are lines too."""
    logging.config.dictConfig(logging_config(form))
    if form == "json":
        logging.captureWarnings(True)
        sys.excepthook = _uncaught


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    program.critical("ended by an unexpected error", exc_info=(kind, error, trace))


def _fields(record: logging.LogRecord) -> dict[str, object]:
    found = {name: getattr(record, name, None) for name in FIELDS}
    found["request_id"] = found["request_id"] or REQUEST_ID.get()
    return {name: value for name, value in found.items() if value is not None}


def _type_and_places(record: logging.LogRecord) -> str:
    kind, _, trace = record.exc_info or (None, None, None)
    return f"{kind.__name__ if kind else 'error'} in {stack_locations(trace)}"


def stack_locations(trace: TracebackType | None) -> str:
    """Return where an exception came from, innermost first; no message and no source line."""
    frames: Sequence[traceback.FrameSummary] = traceback.extract_tb(trace)[-_PLACES:]
    return " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames))
