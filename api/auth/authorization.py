"""Who may call: with keys their holders, each within its roles; without, this machine alone.

A key is looked up before the request is routed; whether it carries the role is asked by the route
that was matched (`Guarded`), so that nothing reads the path a second time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from functools import lru_cache
from typing import TypeVar
from urllib.parse import urlsplit

from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

from api.auth.api_keys import ROLES, Key, Keyring, KeysError
from api.auth.rate_limit import Pace
from api.wire.problems import Problem
from settings import is_loopback

ANY_KEY, NO_KEY = "any key", "no key"
"""What a route may ask for instead of a role."""

KEY = "cardiowatch.key"
"""Where the gate leaves the caller's `Key` in the ASGI scope; None = nobody's."""

_THIS_MACHINE = Key("", "this machine", ("admin",), "", "")
"""Who calls where there are no keys."""

Handler = TypeVar("Handler", bound=Callable[..., object])

_BEARER = b"bearer "

_PASSED_ON = frozenset({
    b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-port",
    b"x-forwarded-proto", b"x-forwarded-server", b"x-real-ip",
})  # fmt: skip
"""Headers of proxies, which may call from this machine for somebody elsewhere."""

_DOCUMENT = {b"sec-fetch-mode": b"navigate", b"sec-fetch-dest": b"document"}
"""What a browser sends for a page in a tab of its own, where another page's scripts see nothing."""

_OWN_SITES = (None, b"same-origin", b"none")
"""None = not a browser, or not of this decade; `none` = an address that somebody typed."""


def _host_of(netloc: str) -> str:
    try:
        return urlsplit(f"//{netloc}").hostname or ""
    except ValueError:
        return ""


@lru_cache(maxsize=256)
def may_call(host: bytes, origin: bytes | None, site: bytes | None) -> bool:
    """Say whether a request with these `Host`, `Origin` and `Sec-Fetch-Site` is of this machine.

    A name that merely resolves to loopback (DNS rebinding) and a page of another site are both
    refused, because without keys the address is the only lock. For an image in a page browsers send
    no `Origin`.
    """
    if site not in _OWN_SITES or not is_loopback(_host_of(host.decode("latin-1"))):
        return False
    if origin is None:
        return True
    scheme, _, netloc = origin.decode("latin-1").partition("://")
    return scheme in ("http", "https") and is_loopback(_host_of(netloc))


def requires(role: str) -> Callable[[Handler], Handler]:
    """Declare beside a handler what its callers need: a role, `ANY_KEY` or `NO_KEY`."""
    if role not in (*ROLES, ANY_KEY, NO_KEY):
        raise ValueError(f"{role} is not a role")

    def declare(handler: Handler) -> Handler:
        handler.required_role = role  # type: ignore[attr-defined]
        return handler

    return declare


def required_role(handler: object) -> str:
    """Return what was declared beside a handler; `admin` where it was forgotten."""
    role: str = getattr(handler, "required_role", "admin")
    return role


def authorize(scope: Scope, role: str) -> None:
    """Return if the caller may use the route that was matched.

    Raises
    ------
    Problem
        401 without a key that is known, 403 when it lacks the role.
    """
    key: Key | None = scope[KEY]
    if role == NO_KEY:
        return
    if key is None:
        raise _no_key()
    if not key.may(None if role == ANY_KEY else role):
        raise Problem(403, "role", f"This key lacks the role {role}.")


class Guarded(APIRoute):
    """A route that answers only callers with the role declared beside its handler."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the caller, or pass the request on."""
        authorize(scope, required_role(self.endpoint))
        await super().handle(scope, receive, send)


def authenticate(
    keys: Keyring | None,
    pace: Pace | None,
    scope: Scope,
    headers: Mapping[bytes, bytes],
    keyless: Set[str],
) -> Key | None:
    """Return the caller's key; None only at the addresses that need none (`keyless`).

    Raises
    ------
    Problem
        401 without a key that is known; where there are no keys, 403 for a foreign `Host` or page,
        or through a proxy; 429 when the key asks too often; 503 when the keys cannot be read.
    """
    if keys is None:
        # HTTP/1.0 is what nginx speaks to us unless it is told otherwise.
        through_proxy = scope["http_version"] != "1.1" or not _PASSED_ON.isdisjoint(headers)
        site = None if _is_link(scope, headers) else headers.get(b"sec-fetch-site")
        place = headers.get(b"host", b""), headers.get(b"origin"), site
        if through_proxy or not may_call(*place):
            raise _not_local()
        return _THIS_MACHINE
    if scope["path"] in keyless:
        return None
    sent = headers.get(b"authorization", b"")
    try:
        key = keys.find(sent[len(_BEARER) :]) if sent[: len(_BEARER)].lower() == _BEARER else None
    except KeysError:
        raise _keys_unreadable() from None
    if key is None:
        raise _no_key()
    if pace is not None:
        pace.take(key.id)
    return key


def _is_link(scope: Scope, headers: Mapping[bytes, bytes]) -> bool:
    """Say whether somebody followed a link to the documentation, perhaps from another program."""
    return (
        scope["method"] == "GET"
        and scope["path"] == "/docs"
        and all(headers.get(name) == value for name, value in _DOCUMENT.items())
    )


def _not_local() -> Problem:
    return Problem(
        403,
        "not-local",
        "Without API keys this service answers only programs of its own machine and its own pages: "
        "call it by HTTP/1.1 as 127.0.0.1 or localhost, not through a proxy, another name or "
        "another site's page. For others make keys: python -m api.keys.",
    )


def _no_key() -> Problem:
    detail = "Send a key that is known: Authorization: Bearer <key>; python -m api.keys makes them."
    return Problem(401, "no-key", detail, headers={"WWW-Authenticate": "Bearer"})


def _keys_unreadable() -> Problem:
    detail = "The keys cannot be read now, so nobody can be let in; the service's log says why."
    return Problem(503, "no-keys", detail, headers={"Retry-After": "1"})
