"""Reads the hostile requests of `requests/*.yaml` and sends them, byte for byte, over a socket.

A request is `send` (method and target) with a body made from a good patient: `set` writes a value
as literal JSON text, `drop` leaves keys out, `body` gives the whole of it: a part of it is text,
`[text, times]`, `{hex: ...}`, `{keys: number of different ones}` or `{pad: length of the whole}`.
`@patient` and `@fields` stand for the good patient with and without its braces, `@id` for a
prediction that is in the log, `@x9` for nine letters (`@x9lines`, `@x9parameters`). `headers`
replace the usual ones (null takes one away), `lines` are added as they are, `chunked` sends the
body in chunks, `raw` is the whole request. The answer that is right: `status`, and for refusals
`field` and `reason`.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

from tests.api.conftest import IN_KAGGLE, IN_UCI, PATIENT

FOLDER = Path(__file__).with_name("requests")
LONGEST_S = 20.0
"""An answer that takes longer is a failure: the service hangs."""


@dataclass(frozen=True)
class Case:
    """One hostile request and the answer that is right."""

    group: str
    why: str
    request: dict[str, Any]
    status: int
    refusals: tuple[tuple[str, str], ...]
    """(field, reason) of each error that must be named, in order."""

    @property
    def method(self) -> str:
        return self._target()[0]

    @property
    def path(self) -> str:
        """The path as a router sees it."""
        return unquote(urlsplit(self._target()[1]).path)

    def _target(self) -> list[str]:
        line = self.request.get("send") or self.request["raw"].lstrip().partition("\r\n")[0]
        return [*line.split(" "), "", ""][:2]


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


def cases() -> Iterator[Case]:
    """Yield every request of the list."""
    for file in sorted(FOLDER.glob("*.yaml")):
        for entry in yaml.safe_load(file.read_text("utf-8")):
            named = entry.pop("field", []), entry.pop("reason", [])
            fields, reasons = (n if isinstance(n, list) else [n] for n in named)
            fields = fields or [""] * len(reasons)
            refusals = tuple(zip(fields, reasons, strict=True))
            yield Case(file.stem, entry.pop("why"), entry, entry.pop("status"), refusals)


def patient_of(target: str) -> dict[str, Any]:
    """Return the good patient in the coding that the target names."""
    return IN_UCI if "coding=uci" in target else IN_KAGGLE if "coding=kaggle" in target else PATIENT


def _body(request: dict[str, Any], patient: dict[str, Any]) -> bytes:
    if "body" not in request:
        changes = request.get("set", {})
        values = {k: json.dumps(v) for k, v in patient.items() if k not in request.get("drop", ())}
        values |= {name: str(literal) for name, literal in changes.items()}
        pairs = (f"{json.dumps(name)}: {literal}" for name, literal in values.items())
        return ("{" + ", ".join(pairs) + "}").encode()
    whole = json.dumps(patient)
    parts = request["body"] if isinstance(request["body"], list) else [request["body"]]
    made = b""
    for part in parts:
        if isinstance(part, dict):
            made += bytes.fromhex(part.get("hex", "")) + b" " * (part.get("pad", 0) - len(made))
            made += b"".join(b'"%d":1,' % number for number in range(part.get("keys", 0)))
            continue
        text, times = part if isinstance(part, list) else (part, 1)
        text = text.replace("@patient", whole).replace("@fields", whole[1:-1])
        made += text.encode(request.get("encoding", "utf-8")) * times
    return made


def _chunks(body: bytes, size: int = 16 * 1024) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


_MANY = re.compile(r"@x(\d+)(lines|parameters)?")


def _many(found: re.Match[str]) -> str:
    number, kind = int(found[1]), found[2]
    if kind == "lines":
        return "\r\n".join(["X-A: b"] * number)
    return "a&" * number if kind == "parameters" else "A" * number


def as_bytes(case: Case, known_id: str) -> bytes:
    """Return the request as it goes over the wire."""
    request = case.request
    if "raw" in request:
        text: str = request["raw"].replace("@id", known_id)
        patient = json.dumps(PATIENT)
        text = text.replace("@patient", patient).replace("@length", str(len(patient)))
        return _MANY.sub(_many, text).encode("latin-1")
    target = _MANY.sub(_many, request["send"].replace("@id", known_id))
    method = target.partition(" ")[0]
    headers = {"Host": "127.0.0.1"}
    body = b""
    if method in ("POST", "PUT", "PATCH") or "body" in request:
        body = _body(request, patient_of(target))
        headers["Content-Type"] = "application/json"
        headers |= {"Transfer-Encoding": "chunked"} if "chunked" in request else {
            "Content-Length": str(len(body))
        }  # fmt: skip
        body = _chunks(body) if "chunked" in request else body
    headers |= request.get("headers", {})
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    lines += request.get("lines", [])
    head = "\r\n".join([f"{target} HTTP/1.1", *lines, "", ""]).replace("@id", known_id)
    return _MANY.sub(_many, head).encode("latin-1") + body


def ask(port: int, request: bytes, method: str = "GET") -> Answer:
    """Send bytes over a connection of their own and read the answer.

    Raises
    ------
    OSError, http.client.HTTPException
        No answer came, or not one of HTTP.
    """
    with contextlib.closing(socket.create_connection(("127.0.0.1", port), LONGEST_S)) as caller:
        with contextlib.suppress(ConnectionError):  # the answer may come before all is sent
            caller.sendall(request)
        reply = http.client.HTTPResponse(caller, method=method)
        reply.begin()
        headers = {name.lower(): value for name, value in reply.getheaders()}
        return Answer(reply.status, headers, reply.read())
