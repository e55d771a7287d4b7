"""The hot path: bytes in, a committed row, bytes out.

`Endpoint` is a plain ASGI endpoint inside the FastAPI app, because the framework's
own request handling costs more than everything done here. Each step is a leaf: decode and check,
score, append to the log, reply. OpenAPI describes them in `api/wire/openapi.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from time import perf_counter
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType
from starlette.types import Receive, Scope, Send

from api import metrics
from api.auth.authorization import KEY, authorize
from api.auth.patient_reference import patient_of
from api.service import Service, not_logged
from api.wire.body import HEADERS, Disconnected, Headers, read_json_body
from api.wire.decode import DECODERS, Row
from api.wire.predict_query import PredictQuery, predict_query, source_of
from api.wire.problems import FieldError, Problem, bug, invalid, note
from api.wire.replies import send_problem, send_reply
from db.ids import new_id
from db.writer.idempotency import Answer as Remembered
from db.writer.idempotency import Claim
from db.writer.writer import LogUnavailable
from pipeline.dataset.heart.codings import Coding, encode
from pipeline.model import Model
from pipeline.schema import FEATURES, NAMES, unusual

Score = Callable[["Service", PredictQuery, bytes, float], "Scored"]
BODY_MAX = 64 * 1024
BATCH_BODY_MAX = 1024 * 1024
_KEY_MAX = 255
_OVERLOADED = (
    "Overloaded: the request was rejected before it was read. Nothing was logged; try again."
)
_encode = msgspec.json.Encoder().encode


class Warned(msgspec.Struct, gc=False):
    """A value that was accepted and deserves a second look."""

    field: str
    message: str


class Contribution(msgspec.Struct, gc=False):
    """What one feature adds to the log-odds of this patient."""

    feature: str
    value: bool | float | str | None
    contribution: float


class Explanation(msgspec.Struct, gc=False):
    """The probability taken apart: base value plus contributions, in log-odds."""

    scale: str
    base_value: float
    contributions: list[Contribution]


class Answer(msgspec.Struct, gc=False):
    """The body of a 200."""

    id: str
    prediction: int
    probability: float
    threshold: float
    model_version: str
    missing: list[str]
    warnings: list[Warned]
    interval: list[float] | UnsetType = UNSET
    explanation: Explanation | UnsetType = UNSET


def explain(model: Model, row: Row) -> tuple[list[float], Explanation]:
    """Return the 95 % interval of the fitted probability and the exact contributions."""
    found = model.explain(row)
    contributions = [
        Contribution(feature.name, encode(feature, value, Coding.LABELS), contribution)
        for feature, value, contribution in zip(FEATURES, row, found.contributions, strict=True)
    ]
    explanation = Explanation("log-odds", found.base_value, contributions)
    return list(found.interval), explanation


def answer(service: Service, row: Row, query: PredictQuery, started: float) -> tuple[Answer, Any]:
    """Score one patient; return the answer and the row to log, in `PREDICTION_COLUMNS` order.

    The row lacks its end, who asked and about whom, which is the same for a whole request.
    """
    model, threshold = service.model, service.threshold
    probability = model.probability(row)
    prediction = 1 if probability >= threshold else 0
    new = new_id()
    missing = (
        [n for n, value in zip(NAMES, row, strict=True) if value is None] if None in row else []
    )
    warnings = [Warned(*found) for found in (*unusual(row), *model.unseen(row))]
    reply = Answer(new, prediction, probability, threshold, model.version, missing, warnings)
    if query.explain:
        reply.interval, reply.explanation = explain(model, row)
    latency_ms = (perf_counter() - started) * 1000
    logged = (
        new, query.source, *row,
        probability, prediction, threshold, model.version, latency_ms,
    )  # fmt: skip
    return reply, logged


class Scored(NamedTuple):
    """What a request comes to: the reply's bytes, the rows to log, how many of them are 1."""

    reply: bytes
    rows: list[tuple[Any, ...]]
    positive: int


def score_one(service: Service, query: PredictQuery, body: bytes, started: float) -> Scored:
    """POST /predict: one patient."""
    row = DECODERS[query.coding].one(body)
    reply, logged = answer(service, row, query, started)
    return Scored(_encode(reply), [logged], reply.prediction)


def score_batch(service: Service, query: PredictQuery, body: bytes, started: float) -> Scored:
    """POST /predict/batch: up to 1,000 patients in one transaction, all or nothing."""
    rows = DECODERS[query.coding].many(body)
    answers = [answer(service, row, query, started) for row in rows]
    replies = [reply for reply, _ in answers]
    positive = sum(reply.prediction for reply in replies)
    return Scored(_encode({"items": replies}), [logged for _, logged in answers], positive)


class Endpoint:
    """An ASGI endpoint that reads a request, scores it, logs it and only then replies."""

    required_role = "predict"

    def __init__(
        self, service: Service, route: str, score: Score, *, allowed: frozenset[str], limit: int
    ) -> None:
        self.service = service
        self.route = route
        self.score = score
        self.limit = limit
        self.allowed = allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        query_string = scope["query_string"]
        headers: Headers = scope[HEADERS]
        crowd, place = self.service.crowd, None
        try:
            authorize(scope, self.required_role)
            if crowd.is_overloaded(perf_counter()):
                await crowd.delay()
                raise Problem(503, "busy", _OVERLOADED, headers={"Retry-After": "1"})
            query = predict_query(query_string, self.allowed)
            key_id = scope[KEY].id
            body = await read_json_body(headers, receive, self.limit, key_id)
            started = perf_counter()  # a body that comes slowly is not our slowness,
            place = crowd.admit(started)  # and takes no place from those who wait
            self.service.require_started()
            patient = patient_of(headers, self.service.seal_key)
            key, caller = headers.get(b"idempotency-key"), f"{self.route} {key_id}"
            once = None if key is None else Once.of(key, caller, query_string, body, patient)
            asker = key_id or None, patient
            answer = await self._logged(query, body, started, once, asker)
        except Problem as problem:
            source = source_of(query_string)
            self.service.count_refusal(self.route, source, problem)
            request_id = new_id()
            note(problem, self.route, request_id)
            await send_problem(scope, send, problem, request_id)
        except Disconnected:
            return
        except Exception as found:
            request_id = new_id()
            metrics.rejection_counter(self.route, 500).inc()
            await send_problem(scope, send, bug(found, request_id), request_id)
        else:
            await send_reply(scope, send, 200, b"application/json", answer)
            metrics.LATENCY.observe(perf_counter() - started)
        finally:
            if place is not None:
                crowd.release(place)

    async def _logged(
        self,
        query: PredictQuery,
        body: bytes,
        started: float,
        once: Once | None,
        asker: tuple[str | None, bytes | None],
    ) -> bytes:
        """Return the reply, its rows committed; a retry gets the first reply and adds no row."""
        log = self.service.log
        try:
            earlier = await log.find_idempotent(once.scope, once.key) if once else None
            if once and earlier:
                return once.first_answer(earlier)
            scored = self.score(self.service, query, body, started)
            claim = once.claim(scored.reply) if once else None
            rows = [(*row, *asker) for row in scored.rows]
            earlier = await log.append(rows, idempotency=claim)
            if once and earlier:  # the same key, committed meanwhile by another request
                return once.first_answer(earlier)
        except LogUnavailable as cause:
            raise not_logged(cause) from None
        metrics.count_predictions(query.source, len(scored.rows), scored.positive)
        return scored.reply


class Once(NamedTuple):
    """An idempotency key and the fingerprint of the request it came with.

    `scope` is route and API key: no caller is given another one's answer.
    """

    scope: str
    key: str
    fingerprint: bytes

    @classmethod
    def of(
        cls, key: bytes, caller: str, query_string: bytes, body: bytes, patient: bytes | None
    ) -> Once:
        """Read the `Idempotency-Key` header: 1 to 255 printable ASCII characters.

        Raises
        ------
        Problem
            422 when it is anything else.
        """
        if not 0 < len(key) <= _KEY_MAX or not all(32 < byte < 127 for byte in key):
            message = f"Idempotency-Key takes 1 to {_KEY_MAX} printable ASCII characters, no spaces"
            raise invalid([FieldError("body", message, "idempotency_key")])
        fingerprint = hashlib.sha256(query_string + b"\0" + body + (patient or b"")).digest()
        return cls(caller, key.decode("ascii"), fingerprint)

    def claim(self, reply: bytes) -> Claim:
        """Return what the log is to remember together with the rows."""
        return Claim(self.scope, self.key, self.fingerprint, reply)

    def first_answer(self, earlier: Remembered) -> bytes:
        """Return the remembered reply, or refuse the key's reuse with another request (409)."""
        if earlier.request_hash != self.fingerprint:
            detail = "This Idempotency-Key was used with another body or query; use a new key."
            raise Problem(409, "idempotency-key-reused", detail)
        return earlier.response
