"""The API as the dashboard calls it; the only module here that speaks HTTP."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import httpx

_TIMEOUT = httpx.Timeout(5.0, connect=1.0)
"""Seconds; the API gives up on its log after 2 (CARDIOWATCH_LOG_TIMEOUT_S)."""
_WHOLE_S = 10.0
"""Longest time for a body; the timeout above begins again with every piece of it."""
_LARGEST = 8 * 2**20
"""Bytes of a body; the model card, the largest there is, has a quarter of a million."""


class ApiDown(Exception):
    """Nothing answers at the API's address, or not as the API does."""


class LogBusy(Exception):
    """The API answers, but cannot write the log now (503)."""


class Missing(Exception):
    """What was asked for does not exist (404)."""


class Refused(Exception):
    """The API refuses what was sent; `errors` are (field, message) pairs."""

    def __init__(self, detail: str, errors: list[tuple[str, str]]) -> None:
        super().__init__("refused")  # the detail may name fields, never values; still not a message
        self.detail = detail
        self.errors = errors


class NotLetIn(Refused):
    """The API does not know this program's key, or the key lacks a role (401, 403)."""


class Client:
    """Calls one API.

    Parameters
    ----------
    url : str
        Its base address.
    key : str
        The API key to call it with; "" = none, on one machine.
    """

    def __init__(self, url: str, key: str = "") -> None:
        headers = {"Accept-Encoding": "identity"}  # a small body could hide a large one
        headers |= {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(base_url=url, timeout=_TIMEOUT, trust_env=False, headers=headers)

    def close(self) -> None:
        """Close the connections that wait for the next call."""
        self._http.close()

    def predict(self, patient: Mapping[str, Any], source: str) -> dict[str, Any]:
        """Score and log one patient; the answer comes with interval and explanation.

        The idempotency key keeps a patient from being logged twice when the call is repeated.
        """
        return self._call(
            "POST",
            "/predict",
            params={"explain": "true", "source": source},
            json=dict(patient),
            headers={"Idempotency-Key": str(uuid4())},
        )

    def explanation(self, prediction_id: str) -> dict[str, Any]:
        """Return why a logged prediction came out as it did, from the model that made it."""
        return self._call("GET", f"/predictions/{prediction_id}/explanation")

    def record_outcome(self, prediction_id: str, outcome: int, observed_at: str | None) -> None:
        """Record what was found later: 1 = disease, 0 = none."""
        body = {"outcome": outcome} | ({"observed_at": observed_at} if observed_at else {})
        self._call("PUT", f"/predictions/{prediction_id}/outcome", json=body)

    def model(self) -> dict[str, Any]:
        """Return the model card of the model in use."""
        return self._call("GET", "/model")

    def ready(self) -> bool:
        """Say whether a prediction would be answered now."""
        try:
            self._call("GET", "/readyz")
        except (ApiDown, LogBusy, Missing, Refused):
            return False
        return True

    def _call(self, method: str, path: str, **kwargs: Any) -> dict[str, Any]:
        """Call the API; a connection that broke is tried once more, as after its restart."""
        try:
            try:
                answer, body = self._ask(method, path, **kwargs)
            except (httpx.NetworkError, httpx.RemoteProtocolError):
                answer, body = self._ask(method, path, **kwargs)
            content = json.loads(body) if body else {}
        except (httpx.HTTPError, ValueError, RecursionError):
            raise ApiDown from None
        if not isinstance(content, dict):
            raise ApiDown
        if answer.status_code == 503:
            raise LogBusy
        if answer.status_code == 404:
            raise Missing
        if answer.is_client_error:
            errors = [(e.get("field", ""), e.get("message", "")) for e in content.get("errors", [])]
            kind = NotLetIn if answer.status_code in (401, 403) else Refused
            raise kind(str(content.get("detail", "")), errors)
        if not answer.is_success:
            raise ApiDown
        return content

    def _ask(self, method: str, path: str, **kwargs: Any) -> tuple[httpx.Response, bytes]:
        """Return the answer and its body, of which no more is read than the API ever sends."""
        with self._http.stream(method, path, **kwargs) as answer:
            body, until = bytearray(), time.monotonic() + _WHOLE_S
            for piece in answer.iter_raw():
                body += piece
                if len(body) > _LARGEST or time.monotonic() > until:
                    raise ApiDown
        return answer, bytes(body)
