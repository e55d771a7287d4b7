"""The OpenAPI document: what FastAPI derives, and the plain endpoints it cannot see."""

from __future__ import annotations

from collections.abc import Set

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.wire.answers import Answer
from api.wire.decode import MAX_BATCH
from api.wire.openapi_schemas import (
    OUTCOME_ROW,
    PROBLEM,
    Json,
    item_schema,
    patient_schema,
    problem_responses,
    ref,
    responses,
    row_schema,
)
from db.schema import SOURCES
from pipeline.dataset.heart.codings import Coding


def _parameter(place: str, name: str, text: str, **schema: object) -> Json:
    return {"name": name, "in": place, "required": False, "schema": schema, "description": text}


_CODING = _parameter(
    "query", "coding",
    "How categories are written in the body; integer codes are rejected without it.",
    type="string", enum=list(Coding), default="labels",
)  # fmt: skip
_EXPLAIN = _parameter(
    "query",
    "explain",
    "Add the 95 % interval and the explanation; where findings are unknown, also the range of the "
    "estimate over them and the finding that would narrow it most.",
    type="boolean",
    default=False,
)
_SOURCE = _parameter(
    "query", "source", "Origin of the request; monitoring reads only `live`.",
    type="string", enum=list(SOURCES), default="live",
)  # fmt: skip
_KEY = _parameter(
    "header", "Idempotency-Key",
    "A retry with the same key and request gets the first response, for 24 hours.",
    type="string", minLength=1, maxLength=255, pattern="^[!-~]+$",
)  # fmt: skip
_PATIENT = _parameter(
    "header", "Patient-Reference",
    "Your pseudonym for the patient, one for a whole batch. Stored only as an HMAC, so that the "
    "patient's rows can be exported and erased; rejected if the log has no key.",
    type="string", minLength=1, maxLength=64, pattern="^[ -~]+$",
)  # fmt: skip


def _links(pointer: str) -> Json:
    """Return the calls that take the id of an answer."""
    return {
        name: {"operationRef": f"#/paths/~1predictions~1{{id}}{below}/{method}",
               "parameters": {"id": f"$response.body#{pointer}"}}
        for name, below, method in (
            ("row", "", "get"),
            ("explanation", "~1explanation", "get"),
            ("outcome", "~1outcome", "put"),
        )
    }  # fmt: skip


def _operation(summary: str, parameters: list[Json], body: Json, reply: Json, id_at: str) -> Json:
    statuses = responses(
        reply, 401, 403, 409, 413, 415, 422, 503, description="Answered, and the row is committed"
    )
    statuses["200"]["links"] = _links(id_at)
    return {
        "tags": ["predict"],
        "summary": summary,
        "parameters": [*parameters, _KEY, _PATIENT],
        "requestBody": {"required": True, "content": {"application/json": body}},
        "responses": statuses,
    }


def _plain_paths() -> Json:
    patients = [ref(f"Patient_{coding}") for coding in Coding]
    examples = {
        str(c): {"summary": f"with coding={c}", "value": patient_schema(c)["example"]}
        for c in Coding
    }
    many = {
        "type": "array",
        "minItems": 1,
        "maxItems": MAX_BATCH,
        "items": {"anyOf": [ref(f"Item_{coding}") for coding in Coding]},
        "example": [examples["labels"]["value"]],
    }
    items = {"type": "object", "required": ["items"],
             "properties": {"items": {"type": "array", "items": ref("Answer")}}}  # fmt: skip
    one: Json = {"schema": {"anyOf": patients}, "examples": examples}
    return {
        "/predict": {
            "post": _operation(
                "Score one patient and log the answer", [_CODING, _EXPLAIN, _SOURCE], one,
                ref("Answer"), "/id",
            )
        },
        "/predict/batch": {
            "post": _operation(
                "Score up to 1,000 patients in one transaction, all or nothing",
                [_CODING, _SOURCE], {"schema": many}, items, "/items/0/id",
            )
        },
    }  # fmt: skip


def _leave_out_null(parameter: Json) -> None:
    """Remove null from the values of a query parameter: it is omitted instead."""
    schema = parameter["schema"]
    kinds = [kind for kind in schema.pop("anyOf", ()) if kind != {"type": "null"}]
    for kind in kinds:
        schema |= kind


def build_document(app: FastAPI, keyless: Set[str]) -> Json:
    """Return the OpenAPI document, built once; the `keyless` paths need no key."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        _, replies = msgspec.json.schema_components(
            [Answer], ref_template="#/components/schemas/{name}"
        )
        components = made.setdefault("components", {}).setdefault("schemas", {})
        components |= replies | {
            "Problem": PROBLEM,
            "LoggedPrediction": row_schema(),
            "Outcome": OUTCOME_ROW,
        }
        components |= {f"Patient_{coding}": patient_schema(coding) for coding in Coding}
        components |= {f"Item_{coding}": item_schema(coding) for coding in Coding}
        made["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        made["paths"] = _plain_paths() | made["paths"]
        for path, calls in made["paths"].items():
            for call in calls.values():  # {}: where no keys are set, and for the probes
                call["security"] = [{}] if path in keyless else [{"key": []}, {}]
                also = (400, 408, 431) if path in keyless else (400, 408, 429, 431)
                call["responses"] |= problem_responses(*also)
                for parameter in call.get("parameters", ()):
                    _leave_out_null(parameter)
        app.openapi_schema = made
    return app.openapi_schema
