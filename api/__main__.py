"""`python -m api`: the service, without the dashboard; settings from the environment."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile

import uvicorn

import logs
from api.auth.api_keys import KeysFileError, read_keys
from api.server import connection_limits
from db.audit.seal_key import SealError, load_key
from db.engine import DatabaseUnavailable
from pipeline.model import ModelError, load
from settings import Settings, SettingsError, in_kubernetes, is_loopback, load_settings

KEEP_ALIVE_S = 620
"""Google's load balancer keeps a backend connection for 600 s; ours must outlive it."""


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m api", description="Serve predictions; every 200 is a committed row."
    )
    parser.add_argument("--migrate", action="store_true", help="create or update the tables first")
    return parser.parse_args()


def _reason_not_to_start(settings: Settings) -> str | None:
    if settings.keys_file is None and not is_loopback(settings.api_host):
        return (
            f"CARDIOWATCH_API_HOST is {settings.api_host}, but without API keys the service "
            "listens on loopback only: set it to 127.0.0.1, or create keys with "
            "cardiowatch keys and set CARDIOWATCH_KEYS_FILE"
        )
    if in_kubernetes() and settings.database_url.startswith("sqlite"):
        return (
            "In Kubernetes a SQLite log would be lost with its pod: "
            "set CARDIOWATCH_DATABASE_URL to a PostgreSQL URL"
        )
    if settings.api_workers > 1 and settings.database_url.startswith("sqlite"):
        return (
            f"CARDIOWATCH_API_WORKERS is {settings.api_workers}, but SQLite allows one writer: "
            "set it to 1, or CARDIOWATCH_DATABASE_URL to a PostgreSQL URL"
        )
    return None


def main() -> int:
    """Start the service; return the exit code."""
    options = _parse()
    try:
        settings = load_settings()
        logs.configure(settings.log_format)
        reason = _reason_not_to_start(settings)
        if reason is not None:
            return _fail(reason)
        if settings.api_workers > 1:
            # Read by prometheus_client at import: the workers share their counts in this folder.
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="cardiowatch-")
        if options.migrate:
            from db.migrate import migrate

            migrate(settings.database_url)
        # Loaded here once so that what is missing or wrong is one line, not a worker's traceback.
        load(settings.model_dir)
        if settings.keys_file is not None:
            read_keys(settings.keys_file)
        load_key(settings.database_url, settings.log_hmac_key_file)
    except (SettingsError, ModelError, KeysFileError, SealError, DatabaseUnavailable) as error:
        return _fail(str(error))
    return _serve(settings)


def _fail(sentence: str) -> int:
    logs.program.critical(sentence)
    return 1


def _serve(settings: Settings) -> int:
    # uvicorn drains on SIGTERM and then raises it again for the previous handler: a requested end
    # is a success.
    signal.signal(signal.SIGTERM, lambda *_: None)
    connection_limits.raise_file_limit()
    uvicorn.run(
        "api.app:create_app",
        factory=True,
        loop="api.server.accept_loop:AcceptLoop",
        http="api.wire.connection_problems:ProblemConnection",
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
    return 0


if __name__ == "__main__":
    sys.exit(main())
