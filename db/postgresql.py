"""Connections to PostgreSQL with a timeout; imported only where PostgreSQL is used."""

from __future__ import annotations

from typing import Any

import psycopg


class TimedConnection(psycopg.Connection[Any]):
    """A connection with a client-side timeout: a frozen server enforces none of its own.

    `timeout_s` is the longest wait for one answer, in seconds; libpq times out connecting.
    """

    timeout_s: float | None = None

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Wait for an answer; close the connection on timeout."""
        limit = timeout or self.timeout_s
        try:
            return super().wait(gen, interval, limit)
        except psycopg.errors._WaitTimeout:
            self.pgconn.finish()
            message = f"no answer from PostgreSQL within {limit:g} s"
            raise psycopg.OperationalError(message) from None


def open_connection(timeout_s: float, **parameters: Any) -> TimedConnection:
    """Connect; see TimedConnection.

    Without prepared statements: behind a pool of transactions (PgBouncer) the next one may be of
    another server's process, and a plan for any window may read all of the log.
    """
    connection = TimedConnection.connect(**parameters, autocommit=True, prepare_threshold=None)
    connection.timeout_s = timeout_s
    return connection
