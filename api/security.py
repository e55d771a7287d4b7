"""Who may call: without keys only this machine's own programs and pages, by loopback names."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from urllib.parse import urlsplit

from api.errors import Problem


def is_loopback(host: str) -> bool:
    """Say whether a host name or address means this machine."""
    if host.rstrip(".").lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _host_of(netloc: str) -> str:
    try:
        return urlsplit(f"//{netloc}").hostname or ""
    except ValueError:
        return ""


@lru_cache(maxsize=256)
def may_call(host: bytes, origin: bytes | None) -> bool:
    """Say whether a request with these `Host` and `Origin` headers comes from this machine.

    A name that merely resolves to loopback (DNS rebinding) and a page of another site are both
    refused, because without keys the address is the only lock.
    """
    if not is_loopback(_host_of(host.decode("latin-1"))):
        return False
    if origin is None:
        return True
    scheme, _, netloc = origin.decode("latin-1").partition("://")
    return scheme in ("http", "https") and is_loopback(_host_of(netloc))


def refuse_caller() -> Problem:
    """Return the 403 for a foreign `Host` or `Origin`."""
    return Problem(
        403,
        "not-local",
        "Without API keys this service answers only programs and pages of its own machine: "
        "call it as 127.0.0.1 or localhost, not through another name or another site's page.",
    )
