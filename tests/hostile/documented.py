"""Holds an answer against the OpenAPI document: is the status there, and has the body its shape?"""

from __future__ import annotations

import re
from typing import Any

from jsonschema import Draft202012Validator

from tests.hostile.asking import Answer

EVERYWHERE = (400, 401, 403, 404, 405, 408, 431)
"""Of the connection, the gate, and addresses and methods that are not there: no call's own."""


class Documented:
    """The OpenAPI document, asked for one answer at a time."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._paths = {
            re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))): calls
            for path, calls in document["paths"].items()
        }

    def complaints(self, method: str, path: str, answer: Answer) -> list[str]:
        """Say what in an answer is not as documented; empty = nothing."""
        found = self._responses("GET" if method == "HEAD" else method, path)  # RFC 9110, 9.3.2
        described = found.get(str(answer.status))
        if described is None and answer.status in EVERYWHERE:
            described = {"content": {"application/problem+json": {"schema": _PROBLEM}}}
        if described is None:
            return [f"{answer.status} is not documented"]
        kind = answer.headers.get("content-type", "").partition(";")[0]
        content = described.get("content", {})
        if kind not in content:
            return [f"{kind or 'no content type'} is not documented for {answer.status}"]
        schema = content[kind].get("schema")
        if schema is None or method == "HEAD":
            return []
        return [f"{e.json_path}: {e.message[:80]}" for e in self._errors(schema, answer.document)]

    def _responses(self, method: str, path: str) -> dict[str, Any]:
        for pattern, calls in self._paths.items():
            if pattern.fullmatch(path) and method.lower() in calls:
                responses: dict[str, Any] = calls[method.lower()]["responses"]
                return responses
        return {}

    def _errors(self, schema: dict[str, Any], body: Any) -> Any:
        whole = {**schema, "components": self._document["components"]}
        return Draft202012Validator(whole).iter_errors(body)


_PROBLEM = {"$ref": "#/components/schemas/Problem"}
