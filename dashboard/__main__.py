"""Serve the dashboard on this machine: `python -m dashboard`, settings from the environment."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import uvicorn
from streamlit import config
from streamlit import logger as streamlit_logger

import logs
from dashboard.app import create_app
from dashboard.auth import roles
from settings import Settings, SettingsError, is_loopback, load_settings

_MAX_MESSAGE_BYTES = 256 * 1024
"""The patient form sends 1 KB."""

_EMPTY_SECRETS_FILE = Path(__file__).with_name("no-login.toml")
"""A file that does not exist; Streamlit would complain about any other path."""


def _startup_error(settings: Settings) -> str | None:
    guarded = settings.dashboard_behind_proxy or settings.login_file is not None
    if guarded or is_loopback(settings.dashboard_host):
        return None
    return (
        f"CARDIOWATCH_DASHBOARD_HOST is {settings.dashboard_host}: without a login the dashboard "
        "listens on loopback only; set it to 127.0.0.1, set CARDIOWATCH_LOGIN_FILE, or put an "
        "authenticating proxy in front and set CARDIOWATCH_DASHBOARD_BEHIND_PROXY=true"
    )


def _cookie_secret(path: Path) -> str:
    try:
        secret = path.read_text("utf-8").strip()
    except OSError as error:
        raise SettingsError(f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError("is not text; create a secret with openssl rand -hex 32") from None
    if len(secret) < roles.MIN_SECRET_LENGTH:
        raise SettingsError("is empty or too short; create a secret with openssl rand -hex 32")
    return secret


def _configure_streamlit(settings: Settings) -> None:
    """Set what differs by deployment; only `streamlit run` reads Streamlit's own variables."""
    config.get_config_options()  # .streamlit/config.toml first, or it would win
    # It compares IPv6 addresses without brackets.
    names = [name.strip(" []") for name in settings.dashboard_names.split(",")]
    config.set_option("server.allowedHosts", names)
    if settings.cookie_secret_file is not None:
        config.set_option("server.cookieSecret", _cookie_secret(settings.cookie_secret_file))
    # With an empty list Streamlit would read the user's own files, which may name another provider.
    config.set_option("secrets.files", [str(settings.login_file or _EMPTY_SECRETS_FILE)])


def _use_our_log_handlers() -> None:
    """Let Streamlit's loggers propagate their records; it gives each a handler of its own."""

    def hand_on(logger: logging.Logger) -> None:
        own = getattr(logger, "streamlit_console_handler", None)
        if own is not None:
            logger.removeHandler(own)
        logger.propagate = True

    streamlit_logger.setup_formatter = hand_on
    streamlit_logger.update_formatter()


def main() -> int:
    """Parse the command line and serve until stopped; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m dashboard", description=__doc__)
    parser.add_argument("--port", type=int, help="default: CARDIOWATCH_DASHBOARD_PORT or 8501")
    chosen = parser.parse_args().port
    try:
        settings = load_settings()
    except SettingsError as error:
        return _fail(str(error))
    logs.configure(settings.log_format)
    _use_our_log_handlers()
    error_message = _startup_error(settings)
    if error_message is not None:
        return _fail(error_message)
    try:
        role_map = None if settings.login_file is None else roles.load_roles(settings.login_file)
        _configure_streamlit(settings)
    except roles.LoginError as error:
        return _fail(f"CARDIOWATCH_LOGIN_FILE: {error}")
    except SettingsError as error:
        return _fail(f"CARDIOWATCH_COOKIE_SECRET_FILE {error}")
    uvicorn.run(
        create_app(role_map),
        host=settings.dashboard_host,
        port=chosen or settings.dashboard_port,
        access_log=False,
        server_header=False,
        log_config=logs.logging_config(settings.log_format),
        log_level="warning",
        ws="websockets-sansio",
        ws_max_size=_MAX_MESSAGE_BYTES,
        timeout_graceful_shutdown=5,
    )
    return 0


def _fail(sentence: str) -> int:
    logs.program.critical(sentence)
    return 1


if __name__ == "__main__":
    sys.exit(main())
