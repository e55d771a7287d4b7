"""Who may call: with keys their holders, each within its roles; without keys, this machine only.

A key is authenticated before the request is routed; the matched route checks its role
(`RoleRoute`), so that nothing reads the path a second time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from functools import lru_cache
from typing import TypeVar
from urllib.parse import urlsplit

from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

from api.auth.access_log import log_access
from api.auth.api_keys import ROLES, ApiKey, ApiKeys, KeysFileError
from api.auth.rate_limit import RateLimiter
from api.wire.problems import Problem, unavailable
from settings import is_loopback

ANY_KEY, NO_KEY = "any key", "no key"
"""What a route may require instead of a role."""

KEY = "cardiowatch.key"
"""Key of the ASGI scope under which the dispatcher keeps the caller's `ApiKey`, or None."""

_THIS_MACHINE = ApiKey("", "this machine", ("admin",), "", "")
"""The caller where there are no keys."""

Handler = TypeVar("Handler", bound=Callable[..., object])

_BEARER = b"bearer "

_PASSED_ON = frozenset({
    b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-port",
    b"x-forwarded-proto", b"x-forwarded-server", b"x-real-ip",
})  # fmt: skip
"""Headers of proxies, which may call from this machine on behalf of another."""

_DOCUMENT = {b"sec-fetch-mode": b"navigate", b"sec-fetch-dest": b"document"}
"""What a browser sends for a page in its own tab, which scripts of other pages cannot read."""

_OWN_SITES = (None, b"same-origin", b"none")
"""None = not a browser, or an old one; `none` = an address that was typed."""


def _host_of(netloc: str) -> str:
    try:
        return urlsplit(f"//{netloc}").hostname or ""
    except ValueError:
        return ""


@lru_cache(maxsize=256)
def is_local_request(host: bytes, origin: bytes | None, site: bytes | None) -> bool:
    """Return whether `Host`, `Origin` and `Sec-Fetch-Site` are those of a request of this machine.

    A name that merely resolves to loopback (DNS rebinding) and a page of another site are both
    rejected, because without keys the address is the only protection. For an image in a page
    browsers send no `Origin`.
    """
    if site not in _OWN_SITES or not is_loopback(_host_of(host.decode("latin-1"))):
        return False
    if origin is None:
        return True
    scheme, _, netloc = origin.decode("latin-1").partition("://")
    return scheme in ("http", "https") and is_loopback(_host_of(netloc))


def requires(role: str) -> Callable[[Handler], Handler]:
    """Declare what a handler requires of its callers: a role, `ANY_KEY` or `NO_KEY`."""
    if role not in (*ROLES, ANY_KEY, NO_KEY):
        raise ValueError(f"{role} is not a role")

    def declare(handler: Handler) -> Handler:
        handler.required_role = role  # type: ignore[attr-defined]
        return handler

    return declare


def required_role(handler: object) -> str:
    """Return what was declared for a handler; `admin` where it was forgotten."""
    role: str = getattr(handler, "required_role", "admin")
    return role


def sufficient_roles(role: str) -> frozenset[str]:
    """Return the roles of which a key needs one."""
    return frozenset((role, "admin"))


def authorize(scope: Scope, role: str) -> None:
    """Return if the caller may use the matched route.

    Raises
    ------
    Problem
        401 without a known key, 403 when it lacks the role.
    """
    key: ApiKey | None = scope[KEY]
    if role == NO_KEY:
        return
    if key is None:
        raise _no_key()
    if role != ANY_KEY and sufficient_roles(role).isdisjoint(key.roles):
        raise missing_role(role)


class RoleRoute(APIRoute):
    """A route that serves only callers with the role declared for its handler."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Log the request, then reject the caller or pass the request on."""
        key: ApiKey | None = scope[KEY]
        if key is not None and key.id:
            log_access(key.id, scope)
        authorize(scope, required_role(self.endpoint))
        # The server leaves out the body.
        if scope["method"] == "HEAD" and "GET" in (self.methods or ()):
            await self.app(scope, receive, send)
        else:
            await super().handle(scope, receive, send)


def authenticate(
    keys: ApiKeys | None,
    rate_limiter: RateLimiter | None,
    scope: Scope,
    headers: Mapping[bytes, bytes],
    keyless: Set[str],
) -> ApiKey | None:
    """Return the caller's key; None only at the paths that need none (`keyless`).

    Raises
    ------
    Problem
        401 without a known key; where there are no keys, 403 for a foreign `Host` or page, or
        through a proxy; 429 above the rate limit; 503 when the keys cannot be read.
    """
    if keys is None:
        # nginx speaks HTTP/1.0 to us unless configured otherwise.
        through_proxy = scope["http_version"] != "1.1" or not _PASSED_ON.isdisjoint(headers)
        site = None if _is_link(scope, headers) else headers.get(b"sec-fetch-site")
        place = headers.get(b"host", b""), headers.get(b"origin"), site
        if through_proxy or not is_local_request(*place):
            raise _not_local()
        return _THIS_MACHINE
    if scope["path"] in keyless:
        return None
    sent = headers.get(b"authorization", b"")
    try:
        key = (
            keys.authenticate(sent[len(_BEARER) :])
            if sent[: len(_BEARER)].lower() == _BEARER
            else None
        )
    except KeysFileError:
        raise _keys_unreadable() from None
    if key is None:
        raise _no_key()
    if rate_limiter is not None:
        rate_limiter.acquire(key.id)
    return key


def _is_link(scope: Scope, headers: Mapping[bytes, bytes]) -> bool:
    """Return whether a link to the documentation was followed, perhaps in another program."""
    return (
        scope["method"] == "GET"
        and scope["path"] == "/docs"
        and all(headers.get(name) == value for name, value in _DOCUMENT.items())
    )


def _not_local() -> Problem:
    return Problem(
        403,
        "not-local",
        "Without API keys this service accepts requests only from its own machine: use HTTP/1.1 "
        "and 127.0.0.1 or localhost, not a proxy, another host name or another site. To allow "
        "other callers, create API keys: cardiowatch keys.",
    )


def missing_role(role: str) -> Problem:
    """Return the 403 for a key without the role."""
    return Problem(403, "role", f"This key lacks the role {role}.")


def _no_key() -> Problem:
    detail = (
        "Missing or unknown API key. Send Authorization: Bearer <key>; create keys with "
        "cardiowatch keys."
    )
    return Problem(401, "no-key", detail, headers={"WWW-Authenticate": "Bearer"})


def _keys_unreadable() -> Problem:
    detail = "The API keys cannot be read, so no request is accepted; see the service log."
    return unavailable("no-keys", detail)
