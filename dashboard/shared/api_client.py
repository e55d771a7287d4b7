"""The API client of the dashboard; the only module here that sends HTTP requests."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

TIMEOUT = httpx.Timeout(2.5, connect=0.5)
"""Seconds, 3 in all; the API stops waiting for its log after 2 (CARDIOWATCH_LOG_TIMEOUT_S)."""
_BATCH_TIMEOUT = httpx.Timeout(10.0, connect=0.5)
_TOTAL_TIMEOUT_S = 10.0
"""For a whole body; the timeout above restarts with every chunk."""
MAX_BATCH = 1_000
"""Patients that the API takes in one call."""
_MAX_BODY_BYTES = 8 * 2**20
"""The largest body, the model card, has 250 KB."""


class ApiError(Exception):
    """The API did not do what was asked."""


class ApiUnavailable(ApiError):
    """The API does not answer, or something else answers at its address."""


class LogUnavailable(ApiError):
    """The API cannot write to the log now (503)."""


class NotFound(ApiError):
    """The requested object does not exist (404)."""


class RequestRejected(ApiError):
    """The API rejected the request (4xx); `errors` are (field, message) pairs."""

    def __init__(self, detail: str, errors: list[tuple[str, str]]) -> None:
        super().__init__(
            "rejected"
        )  # the detail may name fields, never values; still not a message
        self.detail = detail
        self.errors = errors


class AuthenticationFailed(RequestRejected):
    """The API key is unknown or lacks the required role (401, 403)."""


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
        self.names_users = True
        """Whether the API keeps who asks (role `on-behalf`, sealed log); known after a call."""
        self._http = httpx.Client(base_url=url, trust_env=False, headers=headers)

    def close(self) -> None:
        """Close idle connections."""
        self._http.close()

    def predict(
        self,
        patient: Mapping[str, Any],
        source: str,
        *,
        key: str,
        reference: str = "",
        user: str | None = None,
    ) -> dict[str, Any]:
        """Score and log one patient; return the prediction with interval and explanation.

        Parameters
        ----------
        patient : mapping
            The known findings, in labels.
        source : str
            "live" or "what-if".
        key : str
            Random; a repeated call with it gets the first answer and logs nothing more.
        reference : str
            The hospital's reference of the patient, kept as a keyed hash; "" = none.
        user : str or None
            Who asks, kept as a keyed hash where the API key may name them.
        """
        named = {"Patient-Reference": reference} if reference else {}
        params = {"explain": "true", "source": source}
        headers = {"Idempotency-Key": key, **named}
        return self._call_for(user, "POST", "/predict", headers, params=params, json=dict(patient))

    def predict_batch(
        self, patients: Sequence[Mapping[str, Any]], *, key: str, user: str | None = None
    ) -> list[dict[str, Any]]:
        """Score and log up to `MAX_BATCH` patients, all or none; return their predictions in order.

        A patient may carry `patient_reference`; `key` and `user` are as in `predict`.
        """
        sent: dict[str, Any] = {"params": {"source": "live"}, "json": list(patients)}
        answer = self._call_for(user, "POST", "/predict/batch", {"Idempotency-Key": key}, **sent)
        return list(answer["items"])

    def _call_for(
        self, user: str | None, method: str, path: str, headers: dict[str, str], **sent: Any
    ) -> dict[str, Any]:
        """Call in a user's name; without one where the key or the log does not allow that."""
        if user is not None and self.names_users:
            named = headers | {"Acting-User": user}
            try:
                return self._call(method, path, headers=named, **sent)
            except RequestRejected as refused:
                said = " ".join([refused.detail, *(message for _, message in refused.errors)])
                if "on-behalf" not in said and "Acting-User" not in said:
                    raise
                self.names_users = False
        return self._call(method, path, headers=headers, **sent)

    def explanation(self, prediction_id: str) -> dict[str, Any]:
        """Return the explanation of a logged prediction, from the model version that made it."""
        return self._call("GET", f"/predictions/{prediction_id}/explanation")

    def record_outcome(self, prediction_id: str, outcome: int, observed_at: str | None) -> None:
        """Record an outcome: 1 = disease, 0 = none."""
        body = {"outcome": outcome} | ({"observed_at": observed_at} if observed_at else {})
        self._call("PUT", f"/predictions/{prediction_id}/outcome", json=body)

    def search(self, reference: str) -> list[str]:
        """Return the ids of a patient's predictions, newest first."""
        found = self._call("POST", "/predictions/search", json={"patient_reference": reference})
        return [row["id"] for row in found["items"]]

    def record_response(
        self, prediction_id: str, said: Mapping[str, str | None], user: str | None = None
    ) -> None:
        """Record what a clinician made of a prediction: decision, reason and action in codes."""
        self._call_for(user, "PUT", f"/predictions/{prediction_id}/response", {}, json=dict(said))

    def acknowledge_alert(self, alert_id: str, by: str | None, note: str) -> None:
        """Acknowledge an alert, which ends its reminders."""
        self._call("POST", f"/alerts/{alert_id}/acknowledgement", json={"by": by, "note": note})

    def model(self) -> dict[str, Any]:
        """Return the model card of the model in use."""
        return self._call("GET", "/model")

    def ready(self) -> bool:
        """Return whether the API is ready to answer predictions."""
        try:
            self._call("GET", "/readyz")
        except ApiError:
            return False
        return True

    def _call(self, method: str, path: str, **kwargs: Any) -> dict[str, Any]:
        """Call the API; retry once after a broken connection, as after a restart of the API."""
        try:
            try:
                response, body = self._request(method, path, **kwargs)
            except (httpx.NetworkError, httpx.RemoteProtocolError):
                response, body = self._request(method, path, **kwargs)
            content = json.loads(body) if body else {}
        except (httpx.HTTPError, ValueError, RecursionError):
            raise ApiUnavailable from None
        if not isinstance(content, dict):
            raise ApiUnavailable
        if response.status_code == 503:
            raise LogUnavailable
        if response.status_code == 404:
            raise NotFound
        if response.is_client_error:
            errors = [(e.get("field", ""), e.get("message", "")) for e in content.get("errors", [])]
            kind = AuthenticationFailed if response.status_code in (401, 403) else RequestRejected
            raise kind(str(content.get("detail", "")), errors)
        if not response.is_success:
            raise ApiUnavailable
        return content

    def _request(self, method: str, path: str, **kwargs: Any) -> tuple[httpx.Response, bytes]:
        """Return the response and its body, up to the size that the API may send."""
        timeout = _BATCH_TIMEOUT if path == "/predict/batch" else TIMEOUT
        with self._http.stream(method, path, timeout=timeout, **kwargs) as response:
            body, until = bytearray(), time.monotonic() + _TOTAL_TIMEOUT_S
            for chunk in response.iter_raw():
                body += chunk
                if len(body) > _MAX_BODY_BYTES or time.monotonic() > until:
                    raise ApiUnavailable
        return response, bytes(body)
