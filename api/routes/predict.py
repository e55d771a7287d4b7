"""The hot path: bytes in, a committed row, bytes out.

`Endpoint` is a plain ASGI endpoint inside the FastAPI app, because the framework's own request
handling costs more than everything done here. It calls one function for each step, and none of
them calls back: read the body, decode, score, append to the log, reply. `api/wire/openapi.py`
documents the calls.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, NamedTuple

import msgspec
from starlette.types import Receive, Scope, Send

from api import metrics
from api.auth.authorization import KEY, missing_role, sufficient_roles
from api.auth.hashed_names import hash_reference, sent_actor
from api.service import Service, log_problem
from api.wire.answers import Answer, Warned, explain_row
from api.wire.body import HEADERS_KEY, ClientDisconnected, Headers, read_json_body
from api.wire.decode import DECODERS, Row
from api.wire.problems import (
    FieldError,
    Problem,
    internal_error,
    log_server_error,
    unavailable,
    validation_problem,
)
from api.wire.query_params import Params, parse_query
from api.wire.replies import send_problem, send_reply
from db.ids import new_id
from db.writer.idempotency import IdempotencyClaim, StoredResponse
from db.writer.writer import LogUnavailable
from pipeline.schema import NAMES

ScoreFunction = Callable[["Service", Params, bytes, float], "ScoredRequest"]
MAX_BODY = 64 * 1024
MAX_BATCH_BODY = 1024 * 1024
_MAX_KEY_LENGTH = 255
_OVERLOADED = "Overloaded: the request was rejected unread. Nothing was logged; try again."
_encode = msgspec.json.Encoder().encode


def predict_row(
    service: Service, row: Row, params: Params, started: float
) -> tuple[Answer, tuple[Any, ...]]:
    """Score one patient; return the answer and the row to log, in `PREDICTION_COLUMNS` order.

    The row lacks its last columns, API key, patient and acting user: a batch shares them.
    """
    model, threshold = service.model, service.threshold
    probability, warnings = model.score_row(row)
    prediction = 1 if probability >= threshold else 0
    new = new_id()
    missing = (
        [n for n, value in zip(NAMES, row, strict=True) if value is None] if None in row else []
    )
    warned = [Warned(*warning) for warning in warnings]
    explained = explain_row(model, row) if params.explain else {}
    answer = Answer(
        new, prediction, probability, threshold, model.version, missing, warned, **explained
    )
    latency_ms = (perf_counter() - started) * 1000
    logged = (
        new, params.source or "live", *row,
        probability, prediction, threshold, model.version, latency_ms,
    )  # fmt: skip
    return answer, logged


class ScoredRequest(NamedTuple):
    """The reply's bytes, the rows to log, how many of them are positive, and whose they are."""

    reply: bytes
    rows: list[tuple[Any, ...]]
    positive: int
    references: Sequence[str | None] = (None,)
    """The patient reference of each row, where its item of a batch has one."""


def score_one(service: Service, params: Params, body: bytes, started: float) -> ScoredRequest:
    """POST /predict: one patient."""
    row = DECODERS[params.coding].decode_one(body)
    answer, logged = predict_row(service, row, params, started)
    return ScoredRequest(_encode(answer), [logged], answer.prediction)


def score_batch(service: Service, params: Params, body: bytes, started: float) -> ScoredRequest:
    """POST /predict/batch: up to 1,000 patients in one transaction, all or nothing."""
    rows, references = DECODERS[params.coding].decode_batch(body)
    predicted = [predict_row(service, row, params, started) for row in rows]
    answers = [answer for answer, _ in predicted]
    positive = sum(answer.prediction for answer in answers)
    logged = [row for _, row in predicted]
    return ScoredRequest(_encode({"items": answers}), logged, positive, references)


class Endpoint:
    """An ASGI endpoint that reads a request, scores it, logs it and only then replies."""

    required_role = "predict"

    def __init__(
        self,
        service: Service,
        route: str,
        score: ScoreFunction,
        *,
        allowed: tuple[str, ...],
        max_body: int,
    ) -> None:
        self.service = service
        self.route = route
        self._score = score
        self._max_body = max_body
        self._allowed = allowed
        self._roles = sufficient_roles(self.required_role)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        key_id, shedder, token = scope[KEY].id, self.service.load_shedder, None
        params = parse_query(scope["query_string"], self._allowed)
        try:
            if self._roles.isdisjoint(scope[KEY].roles):
                raise missing_role(self.required_role)
            if shedder.is_overloaded(perf_counter()):
                await shedder.delay()
                raise unavailable("busy", _OVERLOADED)
            if params.errors:
                raise validation_problem(params.errors)
            body = await read_json_body(scope[HEADERS_KEY], receive, self._max_body, key_id)
            started = perf_counter()  # a slow upload is not our latency,
            token = shedder.admit(started)  # and is not yet a request under way
            reply = await self._predict(scope, params, body, started)
        except Problem as problem:
            self.service.count_rejection(self.route, params.source or "live", problem)
            request_id = new_id()
            log_server_error(problem, self.route, request_id)
            await send_problem(scope, send, problem, request_id)
        except ClientDisconnected:
            return
        except Exception as error:
            request_id = new_id()
            metrics.rejection_counter(self.route, 500).inc()
            await send_problem(scope, send, internal_error(error, request_id), request_id)
        else:
            await send_reply(scope, send, 200, b"application/json", reply)
            metrics.LATENCY.observe(perf_counter() - started)
        finally:
            if token is not None:
                shedder.release(token)

    async def _predict(self, scope: Scope, params: Params, body: bytes, started: float) -> bytes:
        """Return the reply, its rows committed; a retry gets the first reply and adds no row."""
        service, headers, key_id = self.service, scope[HEADERS_KEY], scope[KEY].id
        if not service.started:
            raise log_problem(LogUnavailable("not connected to the database yet"))
        reference, patient = headers.get(b"patient-reference"), None
        if reference is not None:
            patient = hash_reference(reference.decode("latin-1"), service.seal_key)
        actor = None
        if b"acting-user" in headers:
            actor = sent_actor(headers, service.seal_key, scope[KEY].roles)
        retryable = None
        if b"idempotency-key" in headers:
            request = scope["query_string"] + b"\0" + body + (patient or b"") + (actor or b"")
            retryable = IdempotentRequest.from_header(headers, f"{self.route} {key_id}", request)
        writer = service.writer
        try:
            if retryable:
                stored = await writer.find_response(retryable.scope, retryable.key)
                if stored:
                    return retryable.reply_from(stored)
            scored = self._score(service, params, body, started)
            key, of_all = service.seal_key, patient
            rows = [
                (*row, key_id or None, of_all if own is None else hash_reference(own, key), actor)
                for row, own in zip(scored.rows, scored.references, strict=True)
            ]
            claim = retryable.claim(scored.reply) if retryable else None
            stored = await writer.append(rows, idempotency=claim)
            if retryable and stored:  # the same key, committed meanwhile by another request
                return retryable.reply_from(stored)
        except LogUnavailable as cause:
            raise log_problem(cause) from cause
        metrics.count_predictions(params.source or "live", len(rows), scored.positive)
        return scored.reply


class IdempotentRequest(NamedTuple):
    """An idempotency key and the fingerprint of the request it came with.

    `scope` is route and API key: no caller is given another one's answer.
    """

    scope: str
    key: str
    fingerprint: bytes

    @classmethod
    def from_header(cls, headers: Headers, scope: str, request: bytes) -> IdempotentRequest:
        """Read the `Idempotency-Key` header: 1 to 255 printable ASCII characters.

        Raises
        ------
        Problem
            422 when it is anything else.
        """
        key = headers[b"idempotency-key"]
        if not 0 < len(key) <= _MAX_KEY_LENGTH or not all(32 < byte < 127 for byte in key):
            message = (
                f"Idempotency-Key takes 1 to {_MAX_KEY_LENGTH} printable ASCII characters, no space"
            )
            raise validation_problem([FieldError("body", message, "idempotency_key")])
        return cls(scope, key.decode("ascii"), hashlib.sha256(request).digest())

    def claim(self, reply: bytes) -> IdempotencyClaim:
        """Return what the log stores together with the rows."""
        return IdempotencyClaim(self.scope, self.key, self.fingerprint, reply)

    def reply_from(self, stored: StoredResponse) -> bytes:
        """Return the stored reply; raise a 409 if the key was used with another request."""
        if stored.request_hash != self.fingerprint:
            detail = "This Idempotency-Key was used with a different body or query; use a new key."
            raise Problem(409, "idempotency-key-reused", detail)
        return stored.response
