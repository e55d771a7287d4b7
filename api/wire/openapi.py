"""The OpenAPI document: what FastAPI derives, and the plain endpoints it cannot see."""

from __future__ import annotations

from collections.abc import Set

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.wire.answers import Answer
from api.wire.decode import MAX_BATCH
from api.wire.openapi_schemas import (
    ACTOR,
    OUTCOME_ROW,
    PROBLEM,
    REFERENCE_PATTERN,
    RESPONSE_ROW,
    Json,
    header,
    item_schema,
    patient_schema,
    problem_responses,
    ref,
    responses,
    row_schema,
)
from api.wire.query_params import BATCH_PARAMS, PREDICT_PARAMS, documented
from pipeline.dataset.heart import Coding

_KEY = header(
    "Idempotency-Key",
    "A retry with the same key and request gets the first response, for 24 hours.",
    maxLength=255, pattern="^[!-~]+$",
)  # fmt: skip
_PATIENT = header(
    "Patient-Reference",
    "Your pseudonym for the patient, one for a whole batch. Stored only as an HMAC, so that the "
    "patient's rows can be exported and erased; rejected if the log has no key.",
    maxLength=64, pattern=REFERENCE_PATTERN,
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
            ("response", "~1response", "put"),
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
        "parameters": [*parameters, _KEY, _PATIENT, ACTOR],
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
                "Score one patient and log the answer", documented(*PREDICT_PARAMS), one,
                ref("Answer"), "/id",
            )
        },
        "/predict/batch": {
            "post": _operation(
                "Score up to 1,000 patients in one transaction, all or nothing",
                documented(*BATCH_PARAMS), {"schema": many}, items, "/items/0/id",
            )
        },
    }  # fmt: skip


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
            "Response": RESPONSE_ROW,
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
        app.openapi_schema = made
    return app.openapi_schema
