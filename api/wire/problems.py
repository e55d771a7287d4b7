"""Every error response in one shape (RFC 9457); nothing a caller sent is echoed."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType

import msgspec

from logs import LogThrottle, stack_locations

logger = logging.getLogger("cardiowatch.api")

MEDIA_TYPE = "application/problem+json"
MAX_PROBLEM_BYTES = 4096
"""A problem is never larger than this, however many errors there are."""

_seldom = LogThrottle()

_TITLES = {413: "Body too large", 415: "Not JSON", 422: "Invalid request"}


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field: `field` is a feature, a query parameter or "body".

    `reason` is the code under which the rejection is counted; `index` is the place in a batch.
    """

    field: str
    message: str
    reason: str = "invalid"
    index: int | None = None

    def to_dict(self) -> dict[str, str | int]:
        """Return the error as it is sent."""
        place: dict[str, str | int] = {} if self.index is None else {"index": self.index}
        return place | {"field": self.field, "message": self.message}


class Problem(Exception):
    """An error response (RFC 9457), raised wherever a request is rejected."""

    def __init__(
        self,
        status: int,
        slug: str,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        total: int | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        super().__init__(slug)
        self.status = status
        self.slug = slug
        self.detail = detail
        self.errors = list(errors)
        self.total = total
        self.headers = dict(headers)

    def body(self, instance: str | None = None) -> bytes:
        """Return the JSON document; errors that do not fit into `MAX_BYTES` are left out."""
        document: dict[str, object] = {
            "type": f"urn:cardiowatch:problem:{self.slug}",
            "title": _TITLES.get(self.status) or HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }
        if instance is not None:
            document["instance"] = f"urn:uuid:{instance}"
        shown = [error.to_dict() for error in self.errors]
        while True:
            if self.errors:
                document["errors"] = shown
            if self.total is not None or len(shown) < len(self.errors):
                document["total"] = self.total or len(self.errors)
            encoded = msgspec.json.encode(document)
            if len(encoded) <= MAX_PROBLEM_BYTES or not shown:
                return encoded
            shown = shown[: len(shown) * 3 // 4]


def validation_problem(errors: Sequence[FieldError], *, total: int | None = None) -> Problem:
    """Return the 422 that lists what is wrong, what is allowed and in which unit."""
    fields = list(dict.fromkeys(error.field for error in errors))
    detail = f"Correct {', '.join(fields)} and resend the request. Nothing was logged."
    return Problem(422, "invalid", detail, errors=errors, total=total)


def unavailable(slug: str, detail: str) -> Problem:
    """Return a 503 that says to try again in a second."""
    return Problem(503, slug, detail, headers={"Retry-After": "1"})


def log_server_error(problem: Problem, route: str, request_id: str | None) -> None:
    """Log a request that failed for a reason of ours; one line per second, reason and route.

    The line names the problem's cause, which the caller is not told: an error of our own, whose
    message holds neither a password nor a row (`db.engine.error_message`).
    `request_id` is the `instance` that the caller was told.
    """
    if problem.status < 500:
        return  # the caller's; counted in `rejections`
    count = _seldom.admit((problem.slug, route))
    if count:
        told = {"request_id": request_id, "route": route, "status": problem.status,
                "reason": problem.slug, "count": count}  # fmt: skip
        cause = f" ({problem.__cause__})" if problem.__cause__ else ""
        logger.warning("request failed: %s%s", problem.detail, cause, extra=told)


def internal_error(error: Exception, request_id: str | None) -> Problem:
    """Log an unexpected exception by its type and place; return the 500 for it.

    Its message is not logged: it may quote what was sent.
    """
    what = type(error).__name__, stack_locations(error.__traceback__)
    logger.error("unexpected %s at %s", *what, extra={"request_id": request_id})
    return Problem(
        500, "bug", "Internal error; the service log has the details under the id in `instance`."
    )
