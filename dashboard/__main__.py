"""Serve the dashboard on this machine: `python -m dashboard`, settings from the environment."""

from __future__ import annotations

import argparse
import sys

import uvicorn
from streamlit import config

from dashboard.app import create_app
from settings import Settings, SettingsError, is_loopback, load_settings


def _refusal_to_start(settings: Settings) -> str | None:
    if settings.dashboard_behind_proxy or is_loopback(settings.dashboard_host):
        return None
    return (
        f"CARDIOWATCH_DASHBOARD_HOST is {settings.dashboard_host}: the dashboard asks for no "
        "login and so listens on loopback only; set it to 127.0.0.1, or put a proxy in front that "
        "decides who may see it and set CARDIOWATCH_DASHBOARD_BEHIND_PROXY=true"
    )


def _tell_streamlit(settings: Settings) -> None:
    """Set what depends on the place; it reads its own variables only in `streamlit run`."""
    config.get_config_options()  # .streamlit/config.toml first, or it would win
    config.set_option("server.allowedHosts", settings.dashboard_names.split(","))
    if settings.cookie_secret_file is not None:
        secret = settings.cookie_secret_file.read_text("utf-8").strip()
        config.set_option("server.cookieSecret", secret)


def main() -> None:
    """Parse the command line and serve until stopped."""
    parser = argparse.ArgumentParser(prog="python -m dashboard", description=__doc__)
    parser.add_argument("--port", type=int, help="default: CARDIOWATCH_DASHBOARD_PORT or 8501")
    chosen = parser.parse_args().port
    try:
        settings = load_settings()
    except SettingsError as error:
        sys.exit(str(error))
    refusal = _refusal_to_start(settings)
    if refusal is not None:
        sys.exit(refusal)
    try:
        _tell_streamlit(settings)
    except OSError as error:
        sys.exit(f"CARDIOWATCH_COOKIE_SECRET_FILE cannot be read: {error.strerror}")
    uvicorn.run(
        create_app(),
        host=settings.dashboard_host,
        port=chosen or settings.dashboard_port,
        access_log=False,
        server_header=False,
        log_level="warning",
        ws="websockets-sansio",
        timeout_graceful_shutdown=5,
    )


if __name__ == "__main__":
    main()
