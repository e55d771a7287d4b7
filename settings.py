"""The only reader of the environment; programs read it once and pass values on."""

from __future__ import annotations

import contextlib
import ipaddress
import os
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from errors import CardiowatchError


class Settings(BaseSettings):
    """What can be set, as `CARDIOWATCH_<NAME>`; the table in docs/settings.md derives from this."""

    model_config = SettingsConfigDict(env_prefix="CARDIOWATCH_", env_ignore_empty=True, frozen=True)

    database_url: str = Field(
        "sqlite:///var/cardiowatch.db",
        description="SQLAlchemy URL of the log: sqlite:///... or postgresql+psycopg://...",
    )
    dashboard_database_url: str = Field(
        "", description="Where the dashboard's pages read the log; default: DATABASE_URL."
    )
    model_dir: Path = Field(Path("var/models"), description="Folder of the trained model.")
    api_host: str = Field("127.0.0.1", description="Address on which the API listens.")
    api_port: int = Field(8000, ge=1, le=65535, description="Port of the API.")
    api_workers: int = Field(
        1, ge=1, le=64, description="API processes; more than one requires PostgreSQL."
    )
    server: Literal["cardiowatch", "uvicorn"] = Field(
        "cardiowatch", description="HTTP server of the API: uvicorn with our limits, or as it is."
    )
    api_url: str = Field(
        "",
        description="Where the dashboard and the replay find the API; "
        "default: API_HOST on this machine and API_PORT.",
    )
    api_key: SecretStr = Field(
        SecretStr(""), description="Key with which the dashboard and the replay call the API."
    )
    keys_file: Path | None = Field(
        None,
        description="Hashed API keys; without it the API accepts only requests from its machine.",
    )
    key_rate: float = Field(
        1000, ge=0, description="Rate limit per API key in requests per second; 0 = no limit."
    )
    dashboard_host: str = Field("127.0.0.1", description="Address on which the dashboard listens.")
    dashboard_names: str = Field(
        "127.0.0.1,localhost,[::1]",
        description="Host names, separated by commas, under which the dashboard is opened.",
    )
    cookie_secret_file: Path | None = Field(
        None, description="File with the secret that signs cookies, the same for every dashboard."
    )
    login_file: Path | None = Field(
        None, description="Where users sign in and the role of each group; without it, no login."
    )
    dashboard_behind_proxy: bool = Field(
        False, description="A proxy in front of the dashboard controls access to it."
    )
    iap_audience: str = Field(
        "",
        description="Audience of Google's Identity-Aware Proxy in front of the dashboard; with it, "
        "requests without the header that the proxy signs are rejected.",
    )
    iap_keys_file: Path | None = Field(
        None, description="Public keys of Google's Identity-Aware Proxy (a JSON Web Key Set)."
    )
    dashboard_port: int = Field(8501, ge=1, le=65535, description="Port of the dashboard.")
    dashboard_url: str = Field(
        "",
        description="Address under which users open the dashboard, for the links in alerts; "
        "default: DASHBOARD_HOST on this machine and DASHBOARD_PORT.",
    )
    alert_urls: SecretStr = Field(
        SecretStr(""),
        description="Where the monitor sends alerts: Apprise URLs, separated by commas, or a file "
        "with one a line.",
    )
    threshold: float = Field(
        0.5, gt=0, lt=1, description="Probability from which the prediction is 1."
    )
    prevalence: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Share of the patients here who have disease: a second number beside the "
        "estimate.",
    )
    log_queue_max: int = Field(
        10_000,
        ge=1,
        description="Rows that may be queued for commit; above it the API answers 503.",
    )
    log_timeout_s: float = Field(
        2.0,
        gt=0,
        le=60,
        description="Seconds after which the API answers 503 for an uncommitted row.",
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="How the programs log: lines to read, or one JSON object per event."
    )

    log_hmac_key_file: Path | None = Field(
        None,
        description="File with the key that seals the log; without it, a SQLite log uses "
        "<its file>.key if that exists.",
    )
    log_heads_file: Path | None = Field(
        None,
        description="File of the signed chain heads; default: beside the key; - = standard output.",
    )
    retention_days: int | None = Field(
        None, ge=1, description="Days after which rows are deleted; not set = never."
    )

    @model_validator(mode="before")
    @classmethod
    def _urls_follow_host_and_port(cls, values: dict[str, object]) -> dict[str, object]:
        for program, port in ("api", 8000), ("dashboard", 8501):
            host = str(values.get(f"{program}_host", "127.0.0.1"))
            address = local_url(host, values.get(f"{program}_port", port))
            values.setdefault(f"{program}_url", address)
        return values


def local_url(host: str, port: object) -> str:
    """Return the URL under which this machine reaches its own server that listens on `host`."""
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(host).is_unspecified:  # it listens on all addresses
            host = "::1" if ":" in host else "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_loopback(host: str) -> bool:
    """Return whether a host name or address means this machine."""
    if host.rstrip(".").lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def in_kubernetes() -> bool:
    """Return whether this process runs in a pod, where a SQLite file would belong to one pod."""
    return "KUBERNETES_SERVICE_HOST" in os.environ


class SettingsError(CardiowatchError):
    """A setting that cannot be used, named in one line."""


def load_settings() -> Settings:
    """Read the environment.

    Raises
    ------
    SettingsError
        Naming every setting that is wrong and what it takes.
    """
    try:
        return Settings()
    except ValidationError as error:
        wrong = [
            f"CARDIOWATCH_{str(found['loc'][0]).upper()}: {found['msg'].lower()}"
            for found in error.errors(include_input=False)
        ]
        raise SettingsError("; ".join(wrong)) from None
