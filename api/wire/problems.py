"""Every refusal in one shape (RFC 9457), rendered in one place; nothing a caller sent is echoed."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType

import msgspec

from logs import Seldom, places

logger = logging.getLogger("cardiowatch.api")

MEDIA_TYPE = "application/problem+json"
MAX_BYTES = 4096
"""A refusal is never larger than this, however many errors there are."""

_seldom = Seldom()

_TITLES: Mapping[int, str] = MappingProxyType(
    {
        413: "Body too large",
        415: "Not JSON",
        422: "Not accepted",
        503: "Not logged, so not answered",
    }
)


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field: `field` is a feature, a query parameter or "body".

    `reason` is the code under which the refusal is counted; `index` is the place in a batch.
    """

    field: str
    message: str
    reason: str = "invalid"
    index: int | None = None

    def to_dict(self) -> dict[str, str | int]:
        """Return the error as it goes on the wire."""
        place: dict[str, str | int] = {} if self.index is None else {"index": self.index}
        return place | {"field": self.field, "message": self.message}


class Problem(Exception):
    """A refusal on its way to the caller."""

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
            if len(encoded) <= MAX_BYTES or not shown:
                return encoded
            shown = shown[: len(shown) * 3 // 4]


def invalid(errors: Sequence[FieldError], *, total: int | None = None) -> Problem:
    """Return the 422 that lists what is wrong, what is allowed and in which unit."""
    fields = list(dict.fromkeys(error.field for error in errors))
    detail = f"Correct {', '.join(fields)} and send the request again. Nothing was logged."
    return Problem(422, "invalid", detail, errors=errors, total=total)


def note(problem: Problem, route: str, request_id: str | None) -> None:
    """Log that a request was not answered for a reason of ours; one line a second and reason.

    `request_id` is what the caller was told (`instance`), so that both speak of the same request.
    """
    if problem.status < 500:
        return  # the caller's; counted in `rejections`
    count = _seldom.count((problem.slug, route))
    if count:
        told = {"request_id": request_id, "route": route, "status": problem.status,
                "reason": problem.slug, "count": count}  # fmt: skip
        logger.warning("not answered: %s", problem.detail, extra=told)


def bug(found: Exception, request_id: str | None) -> Problem:
    """Log a mistake of ours by its type and place and return the 500 for it.

    The exception's message is not logged: it may hold what was sent.
    """
    what = type(found).__name__, places(found.__traceback__)
    logger.error("unexpected %s in %s", *what, extra={"request_id": request_id})
    return Problem(500, "bug", "This is our mistake, not yours; it is in the service's own log.")
