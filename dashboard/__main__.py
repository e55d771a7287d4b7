"""Serve the dashboard on this machine: `python -m dashboard`, settings from the environment."""

from __future__ import annotations

import argparse
import sys

import uvicorn

from dashboard.app import create_app
from settings import SettingsError, load_settings

HOST = "127.0.0.1"
"""Loopback only: without keys the address is the only lock."""


def main() -> None:
    """Parse the command line and serve until stopped."""
    parser = argparse.ArgumentParser(prog="python -m dashboard", description=__doc__)
    parser.add_argument("--port", type=int, help="default: CARDIOWATCH_DASHBOARD_PORT or 8501")
    chosen = parser.parse_args().port
    try:
        port = chosen or load_settings().dashboard_port
    except SettingsError as error:
        sys.exit(str(error))
    uvicorn.run(
        create_app(),
        host=HOST,
        port=port,
        access_log=False,
        server_header=False,
        log_level="warning",
        ws="websockets-sansio",
        timeout_graceful_shutdown=5,
    )


if __name__ == "__main__":
    main()
