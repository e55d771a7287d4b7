"""The application: routes, the plain endpoints, one error shape, start and end."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route
from starlette.staticfiles import StaticFiles
from starlette.types import Message, Receive, Scope, Send

from api import metrics
from api.auth.authorization import KEY, RoleRoute, authenticate
from api.auth.rate_limit import RateLimiter
from api.routes import alerts
from api.routes.predict import MAX_BATCH_BODY, MAX_BODY, Endpoint, score_batch, score_one
from api.routes.predictions import KEYLESS, router
from api.service import Service
from api.wire import openapi
from api.wire.body import HEADERS_KEY, ClientDisconnected
from api.wire.problems import Problem, internal_error, log_server_error, unavailable
from api.wire.query_params import BATCH_PARAMS, PREDICT_PARAMS
from api.wire.replies import problem_response, send_problem
from db.engine import DatabaseUnavailable
from db.ids import new_id
from logs import REQUEST_ID
from settings import Settings

VERSION = "0.1.0"
_GARBAGE = 10_000, 20, 100
"""Hundreds of requests under way are not garbage, and at the default of 700 objects the collector
scanned them again and again. Reference cycles are rare here."""
_ABOUT = (
    "Estimates the probability of disease from a patient's findings. "
    "A 200 from /predict means that the row is committed to the log. "
    "GET /model says whom the model was trained on; not a medical device, not for diagnosis."
)


_TURNS, _TURN_S = 10, 1.5
"""Requests that read the log at once: with streams fewer than its reader has connections; and how
long one waits for its turn."""
_READERS = "Too many requests are reading the log. Nothing is wrong with this one; try again."

_NOT_FOUND = "Not found; see /docs."

_DECIDING = frozenset({
    b"acting-user", b"authorization", b"content-encoding", b"content-type", b"host",
    b"idempotency-key", b"origin", b"patient-reference", b"sec-fetch-site",
})  # fmt: skip


class Dispatcher:
    """The ASGI application: authenticates a request and passes it on.

    Predictions go directly to their endpoint; FastAPI's own middleware would take as long as the
    prediction.
    """

    def __init__(self, app: FastAPI, service: Service, endpoints: Sequence[Endpoint]) -> None:
        self.app = app
        self.service = service
        self._endpoints = {endpoint.route: endpoint for endpoint in endpoints}
        rate = service.rate_per_key if service.keys else 0
        self._rate_limiter = RateLimiter(rate) if rate else None
        self._turns = asyncio.Semaphore(_TURNS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or reject it."""
        if scope["type"] != "http":
            await self.app(scope, receive, _in_one_line(send))
            return
        scope[HEADERS_KEY] = headers = dict(scope["headers"])
        endpoint = self._endpoints.get(scope["path"])
        try:
            if len(headers) < len(scope["headers"]):
                _check_repeated(scope["headers"])
            key = authenticate(self.service.keys, self._rate_limiter, scope, headers, KEYLESS)
            if endpoint is None:
                _check_path(scope["path"])
        except Problem as problem:
            self.service.count_rejection("gate", "live", problem)
            await send_problem(scope, send, problem, new_id())
            return
        scope[KEY] = key
        if endpoint is not None and scope["method"] == "POST":
            await endpoint(scope, receive, send)
            return
        REQUEST_ID.set(new_id())
        reads = scope["path"].startswith("/predictions") and scope["method"] != "PUT"
        await (self._read if reads else self.app)(scope, receive, send)

    async def _read(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request that reads the log on; where many do, it waits a little for its turn.

        A turn ends when the answer begins: how fast a stream goes on is up to its client.
        """
        try:
            async with asyncio.timeout(_TURN_S):
                await self._turns.acquire()
        except TimeoutError:
            problem = unavailable("busy", _READERS)
            self.service.count_rejection("/predictions", "live", problem)
            log_server_error(problem, "/predictions", REQUEST_ID.get())
            await send_problem(scope, send, problem, REQUEST_ID.get() or new_id())
            return
        with ExitStack() as turn:
            turn.callback(self._turns.release)

            async def send_and_end_turn(message: Message) -> None:
                turn.close()
                await send(message)

            await self.app(scope, receive, send_and_end_turn)


def _check_repeated(sent: Sequence[tuple[bytes, bytes]]) -> None:
    """Reject a repeated header that decides: a proxy may read the other one."""
    names = [name for name, _ in sent]
    repeated = sorted({name.decode() for name in _DECIDING if names.count(name) > 1})
    if repeated:
        raise Problem(400, "header-twice", f"Sent more than once: {', '.join(repeated)}.")


def _check_path(path: str) -> None:
    """Reject a path with control characters, which a proxy and Python's `$` may not see.

    `/metrics%0a` passes a proxy's rule for `/metrics`, and would match our route.
    """
    if not path.isprintable():
        raise Problem(404, "http", _NOT_FOUND)


def _in_one_line(send: Send) -> Send:
    """Shorten the traceback of a failed start to its reason."""

    async def send_brief(message: Message) -> None:
        if message["type"] == "lifespan.startup.failed":
            reason = message.get("message", "").strip().splitlines()[-1:]
            message = {**message, "message": "".join(reason).partition(": ")[2]}
        await send(message)

    return send_brief


def _reject(request: Request, problem: Problem) -> Response:
    request.app.state.service.count_rejection(_route(request), "live", problem)
    return problem_response(problem)


def _route(request: Request) -> str:
    return getattr(request.scope.get("route"), "path", "other")


async def _on_problem(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, Problem)  # noqa: S101 - Starlette hands over what was registered
    log_server_error(problem, _route(request), REQUEST_ID.get())
    return _reject(request, problem)


async def _on_http(request: Request, found: Exception) -> Response:
    assert isinstance(found, HTTPException)  # noqa: S101
    known = {404: _NOT_FOUND, 405: "Method not allowed; see /docs."}
    detail = known.get(found.status_code, "The request was rejected.")
    return _reject(request, Problem(found.status_code, "http", detail, headers=found.headers or {}))


async def _on_no_database(request: Request, cause: Exception) -> Response:
    detail = "The log cannot be read at the moment; try again."
    problem = unavailable("log-unavailable", detail)
    problem.__cause__ = cause
    return await _on_problem(request, problem)


async def _on_disconnect(_: Request, __: Exception) -> Response:
    return Response(status_code=400)  # nobody reads it


async def _on_internal_error(request: Request, error: Exception) -> Response:
    metrics.rejection_counter(_route(request), 500).inc()
    return problem_response(internal_error(error, REQUEST_ID.get()))


def create_app(settings: Settings | None = None) -> Dispatcher:
    """Return the application.

    Raises
    ------
    pipeline.model.ModelError
        There is no model, or its files were changed.
    """
    service = Service(settings or Settings())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await service.open()
        # Built at the first request for it, it would delay everybody.
        openapi.build_document(app, KEYLESS)
        gc.collect()
        gc.set_threshold(*_GARBAGE)
        gc.freeze()  # what lives as long as the process is not scanned again and again
        try:
            yield
        finally:
            await service.close()

    app = FastAPI(
        title="Cardiowatch", version=VERSION, description=_ABOUT, lifespan=lifespan,
        docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False,
    )  # fmt: skip
    app.router.route_class = RoleRoute  # a route added here without a role is the admin's, too
    app.state.service = service
    endpoints = [
        Endpoint(service, "/predict", score_one, allowed=PREDICT_PARAMS, max_body=MAX_BODY),
        Endpoint(
            service, "/predict/batch", score_batch, allowed=BATCH_PARAMS, max_body=MAX_BATCH_BODY
        ),
    ]
    # The dispatcher calls them directly; as routes they answer other methods with 405.
    app.router.routes += [Route(e.route, e, methods=["POST"]) for e in endpoints]
    app.include_router(router)
    app.include_router(alerts.router)
    assets = StaticFiles(packages=[("fastapi_swagger", "resources")])
    app.mount("/docs/assets", assets, name="docs-assets")  # a hospital may have no internet access
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(DatabaseUnavailable, _on_no_database)
    app.add_exception_handler(ClientDisconnected, _on_disconnect)
    app.add_exception_handler(Exception, _on_internal_error)
    return Dispatcher(app, service, endpoints)
