"""Serve the dashboard: `cardiowatch dashboard` or `python -m dashboard`."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import click
import uvicorn
from starlette.middleware import Middleware
from streamlit import config
from streamlit import logger as streamlit_logger

import logs
from dashboard.app import create_app
from dashboard.auth import roles
from dashboard.auth.iap import TRUSTED_HEADERS, IapGuard
from settings import Settings, SettingsError, is_loopback, load_settings

_MAX_MESSAGE_BYTES = 256 * 1024
"""The patient form sends 1 KB."""

_EMPTY_SECRETS_FILE = Path(__file__).with_name("no-login.toml")
"""A file that does not exist; Streamlit would complain about any other path."""


def _require_login_or_loopback(settings: Settings) -> None:
    guarded = settings.dashboard_behind_proxy or settings.login_file is not None
    if not guarded and not is_loopback(settings.dashboard_host):
        raise SettingsError(
            f"CARDIOWATCH_DASHBOARD_HOST is {settings.dashboard_host}: without a login the "
            "dashboard listens on loopback only; set it to 127.0.0.1, set CARDIOWATCH_LOGIN_FILE, "
            "or put an authenticating proxy in front and set "
            "CARDIOWATCH_DASHBOARD_BEHIND_PROXY=true"
        )


def _iap_guard(settings: Settings) -> Middleware | None:
    if not settings.iap_audience:
        return None
    if settings.iap_keys_file is None or not settings.iap_keys_file.is_file():
        raise SettingsError(
            "CARDIOWATCH_IAP_AUDIENCE needs CARDIOWATCH_IAP_KEYS_FILE: the proxy's public keys, "
            "from https://www.gstatic.com/iap/verify/public_key-jwk"
        )
    return Middleware(IapGuard, keys_file=settings.iap_keys_file, audience=settings.iap_audience)


def _cookie_secret(path: Path) -> str:
    try:
        secret = path.read_text("utf-8").strip()
    except OSError as error:
        raise SettingsError(
            f"CARDIOWATCH_COOKIE_SECRET_FILE cannot be read: {error.strerror}"
        ) from None
    except UnicodeDecodeError:
        secret = ""
    if len(secret) < roles.MIN_SECRET_LENGTH:
        raise SettingsError(
            "CARDIOWATCH_COOKIE_SECRET_FILE is empty, too short or not text; create a secret with "
            "openssl rand -hex 32"
        )
    return secret


def _configure_streamlit(settings: Settings) -> None:
    """Set what differs by deployment; only `streamlit run` reads Streamlit's own variables."""
    config.get_config_options()  # .streamlit/config.toml first, or it would win
    # It compares IPv6 addresses without brackets.
    names = [name.strip(" []") for name in settings.dashboard_names.split(",")]
    config.set_option("server.allowedHosts", names)
    if settings.cookie_secret_file is not None:
        config.set_option("server.cookieSecret", _cookie_secret(settings.cookie_secret_file))
    if settings.iap_audience and settings.login_file is None:
        config.set_option("server.trustedUserHeaders", TRUSTED_HEADERS)
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


@click.command("dashboard")
@click.option("--port", type=int, help="Default: CARDIOWATCH_DASHBOARD_PORT or 8501.")
def command(port: int | None) -> None:
    """Start the dashboard alone, and serve until stopped."""
    settings = load_settings()
    logs.configure(settings.log_format)
    _use_our_log_handlers()
    _require_login_or_loopback(settings)
    role_map = None if settings.login_file is None else roles.load_roles(settings.login_file)
    _configure_streamlit(settings)
    uvicorn.run(
        create_app(role_map, _iap_guard(settings)),
        host=settings.dashboard_host,
        port=port or settings.dashboard_port,
        access_log=False,
        server_header=False,
        log_config=logs.logging_config(settings.log_format),
        log_level="warning",
        ws="websockets-sansio",
        ws_max_size=_MAX_MESSAGE_BYTES,
        timeout_graceful_shutdown=5,
    )


if __name__ == "__main__":
    from cardiowatch import main

    sys.exit(main(["dashboard", *sys.argv[1:]]))
