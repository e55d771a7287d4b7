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

_MESSAGE_MAX = 256 * 1024
"""Bytes that a page sends at once; the form of a patient is 1 KB."""

_NO_LOGIN = Path(__file__).with_name("no-login.toml")
"""There is no such file; of another kind of path Streamlit would complain."""


def _refusal_to_start(settings: Settings) -> str | None:
    guarded = settings.dashboard_behind_proxy or settings.login_file is not None
    if guarded or is_loopback(settings.dashboard_host):
        return None
    return (
        f"CARDIOWATCH_DASHBOARD_HOST is {settings.dashboard_host}: the dashboard asks for no "
        "login and so listens on loopback only; set it to 127.0.0.1, or name a "
        "CARDIOWATCH_LOGIN_FILE, or put a proxy in front that decides who may see it and set "
        "CARDIOWATCH_DASHBOARD_BEHIND_PROXY=true"
    )


def _cookie_secret(path: Path) -> str:
    try:
        secret = path.read_text("utf-8").strip()
    except OSError as error:
        raise SettingsError(f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError("is not text: openssl rand -hex 32 makes a secret") from None
    if len(secret) < roles.SECRET_MIN:
        raise SettingsError("is empty or short: openssl rand -hex 32 makes a secret")
    return secret


def _tell_streamlit(settings: Settings) -> None:
    """Set what depends on the place; it reads its own variables only in `streamlit run`."""
    config.get_config_options()  # .streamlit/config.toml first, or it would win
    # It compares an IPv6 address without its brackets.
    names = [name.strip(" []") for name in settings.dashboard_names.split(",")]
    config.set_option("server.allowedHosts", names)
    if settings.cookie_secret_file is not None:
        config.set_option("server.cookieSecret", _cookie_secret(settings.cookie_secret_file))
    # An empty list would leave the files of the user's home, which may name another provider.
    config.set_option("secrets.files", [str(settings.login_file or _NO_LOGIN)])


def _log_as_we_do() -> None:
    """Have Streamlit's loggers hand their records on; it gives each a handler of its own."""

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
        return _say(str(error))
    logs.start(settings.log_format)
    _log_as_we_do()
    refusal = _refusal_to_start(settings)
    if refusal is not None:
        return _say(refusal)
    try:
        known = None if settings.login_file is None else roles.read(settings.login_file)
        _tell_streamlit(settings)
    except roles.LoginError as error:
        return _say(f"CARDIOWATCH_LOGIN_FILE: {error}")
    except SettingsError as error:
        return _say(f"CARDIOWATCH_COOKIE_SECRET_FILE {error}")
    uvicorn.run(
        create_app(known),
        host=settings.dashboard_host,
        port=chosen or settings.dashboard_port,
        access_log=False,
        server_header=False,
        log_config=logs.config(settings.log_format),
        log_level="warning",
        ws="websockets-sansio",
        ws_max_size=_MESSAGE_MAX,
        timeout_graceful_shutdown=5,
    )
    return 0


def _say(sentence: str) -> int:
    logs.program.critical(sentence)
    return 1


if __name__ == "__main__":
    sys.exit(main())
