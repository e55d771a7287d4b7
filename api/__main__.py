"""Start the API alone: `cardiowatch api`, or `python -m api`."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from contextlib import ExitStack

import click
import uvicorn

import logs
from api.auth.api_keys import read_keys
from api.server import connection_limits
from db.audit.seal_key import load_key
from errors import FAILED
from pipeline.model import load
from settings import Settings, SettingsError, in_kubernetes, is_loopback, load_settings

KEEP_ALIVE_S = 620
"""Google's load balancer keeps a backend connection for 600 s; ours must outlive it."""

_SERVERS = {
    "cardiowatch": (
        "api.server.accept_loop:AcceptLoop", "api.wire.connection_problems:ProblemConnection",
    ),
    "uvicorn": ("uvloop", "httptools"),
}  # fmt: skip
"""The event loop and the connection of each server."""


def _check(settings: Settings) -> None:
    """Raise SettingsError for settings that do not go together."""
    if settings.keys_file is None and not is_loopback(settings.api_host):
        raise SettingsError(
            f"CARDIOWATCH_API_HOST is {settings.api_host}, but without API keys the service "
            "listens on loopback only: set it to 127.0.0.1, or create keys with "
            "cardiowatch keys and set CARDIOWATCH_KEYS_FILE"
        )
    if in_kubernetes() and settings.database_url.startswith("sqlite"):
        raise SettingsError(
            "In Kubernetes a SQLite log would be lost with its pod: "
            "set CARDIOWATCH_DATABASE_URL to a PostgreSQL URL"
        )
    if settings.api_workers > 1 and settings.database_url.startswith("sqlite"):
        raise SettingsError(
            f"CARDIOWATCH_API_WORKERS is {settings.api_workers}, but SQLite allows one writer: "
            "set it to 1, or CARDIOWATCH_DATABASE_URL to a PostgreSQL URL"
        )


@click.command("api")
@click.option("--migrate", is_flag=True, help="Create or update the database first.")
def command(migrate: bool) -> int:
    """Start the API alone; every 200 to a prediction is a committed row."""
    settings = load_settings()
    logs.configure(settings.log_format)
    _check(settings)
    if migrate:
        from db.migrate import migrate as migrate_database

        migrate_database(settings.database_url)
    # Loaded here once so that what is missing or wrong is one line, not a worker's traceback.
    load(settings.model_dir)
    if settings.keys_file is not None:
        read_keys(settings.keys_file)
    load_key(settings.database_url, settings.log_hmac_key_file)
    # uvicorn drains on SIGTERM and then raises it again for the previous handler: a requested end
    # is a success.
    signal.signal(signal.SIGTERM, lambda *_: None)
    connection_limits.raise_file_limit()
    try:
        with ExitStack() as stack:
            if settings.api_workers > 1:
                # Read by prometheus_client at import: the workers share their counts in a folder.
                folder = tempfile.TemporaryDirectory(prefix="cardiowatch-")
                os.environ["PROMETHEUS_MULTIPROC_DIR"] = stack.enter_context(folder)
            _serve(settings)
    except SystemExit:  # uvicorn has logged why it cannot start
        return FAILED
    return 0


def _serve(settings: Settings) -> None:
    loop, connection = _SERVERS[settings.server]
    uvicorn.run(
        "api.app:create_app",
        factory=True,
        loop=loop,
        http=connection,
        ws="none",
        host=settings.api_host,
        port=settings.api_port,
        workers=settings.api_workers,
        log_config=logs.logging_config(settings.log_format),
        log_level="warning",
        access_log=False,  # every prediction is in the log table
        server_header=False,
        proxy_headers=False,  # a header is no proof of who calls
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=30,
    )


if __name__ == "__main__":
    from cardiowatch import main

    sys.exit(main(["api", *sys.argv[1:]]))
