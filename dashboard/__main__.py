"""Serve the dashboard on this machine: `python -m dashboard`, settings from the environment."""

from __future__ import annotations

import argparse

import uvicorn

from dashboard.app import create_app
from settings import Settings

HOST = "127.0.0.1"
"""Loopback only: without keys the address is the only lock."""


def main() -> None:
    """Parse the command line and serve until stopped."""
    parser = argparse.ArgumentParser(prog="python -m dashboard", description=__doc__)
    parser.add_argument("--port", type=int, help="default: CARDIOWATCH_DASHBOARD_PORT or 8501")
    port = parser.parse_args().port or Settings().dashboard_port
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
