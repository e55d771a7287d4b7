"""Google's Identity-Aware Proxy: verify the header that it signs, so that nobody gets past it.

Source: https://cloud.google.com/iap/docs/signed-headers-howto
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

import logs

TRUSTED_HEADERS = {"X-Cardiowatch-Email": "email", "X-Cardiowatch-Subject": "sub"}
"""Headers that only `IapGuard` sets, with the claim that each holds."""

_SIGNED = "x-goog-iap-jwt-assertion"
_ISSUER = "https://cloud.google.com/iap"
_LEEWAY_S = 30
_PROBE = "/_stcore/health"
_REJECTION = PlainTextResponse("Forbidden: this service is reached through its login only.", 403)

logger = logging.getLogger("cardiowatch.dashboard")
_log_throttle = logs.LogThrottle()


class IapGuard:
    """ASGI middleware that rejects every request, but for probes, without a valid signed header.

    Parameters
    ----------
    keys_file
        Google's public keys (a JSON Web Key Set); a changed file counts from the next request on.
    audience
        `/projects/NUMBER/global/backendServices/ID`.
    """

    def __init__(self, app: ASGIApp, keys_file: Path, audience: str) -> None:
        self.app = app
        self._file = keys_file
        self._claims = jwt.JWTClaimsRegistry(
            leeway=_LEEWAY_S,
            iss={"essential": True, "value": _ISSUER},
            aud={"essential": True, "value": audience},
            exp={"essential": True},
            iat={"essential": True},
            sub={"essential": True},
            email={"essential": True},
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with the person in `TRUSTED_HEADERS`, or reject it."""
        if scope["type"] not in ("http", "websocket") or scope["path"] == _PROBE:
            await self.app(scope, receive, send)
            return
        headers = MutableHeaders(scope=scope)
        try:
            claims = self._verify(headers.get(_SIGNED, ""))
        except (JoseError, OSError, ValueError) as error:
            reason = type(error).__name__  # its message may quote what was sent
            if count := _log_throttle.admit(reason):
                logger.warning("rejected without IAP: %s", reason, extra={"count": count})
            await _REJECTION(scope, receive, send)
            return
        for name, claim in TRUSTED_HEADERS.items():
            headers[name] = str(claims[claim]).encode("ascii", "replace").decode()
        await self.app(scope, receive, send)

    def _verify(self, signed: str) -> Mapping[str, Any]:
        token = jwt.decode(signed, _key_set(self._file.read_bytes()), algorithms=["ES256"])
        self._claims.validate(token.claims)
        return token.claims


@lru_cache(maxsize=1)
def _key_set(content: bytes) -> KeySet:
    return KeySet.import_key_set(json.loads(content))
