"""JSON schemas of what is accepted and sent, and the documented responses of each call.

The patient schemas come from `FEATURES`; a test holds them against the real decoder.
"""

from __future__ import annotations

from typing import Any

from api.wire.validation_errors import REFERENCE
from db.schema import DECISIONS, SOURCES
from db.writer.alerts import MAX_NAME, MAX_NOTE
from pipeline.dataset.heart import ACTIONS, REASONS, Coding, decoder, encode
from pipeline.schema import EXAMPLE, FEATURES, NAMES, Feature, Kind

Json = dict[str, Any]
Responses = dict[int | str, Json]

REFERENCE_PATTERN = REFERENCE.replace(r"\Z", "$")
"""Of a patient reference, in the syntax of JSON Schema, which knows no other end."""


_RESPONSE: Json = {
    "decision": {"enum": [*DECISIONS]},
    "reason": {"enum": [*REASONS, None]},
    "action": {"enum": [*ACTIONS, None], "description": "The next step."},
}


def header(name: str, text: str, **schema: object) -> Json:
    """Return the parameter of an optional header."""
    schema = {"type": "string", "minLength": 1} | schema
    return {
        "name": name, "in": "header", "required": False, "schema": schema, "description": text,
    }  # fmt: skip


ACTOR = header(
    "Acting-User",
    "Who asks, if not the holder of the API key, which needs the role on-behalf. Stored only as an "
    "HMAC; rejected if the log has no key.",
    maxLength=64, pattern=REFERENCE_PATTERN,
)  # fmt: skip


def ref(name: str) -> Json:
    """Return a reference to a component."""
    return {"$ref": f"#/components/schemas/{name}"}


def feature_schema(feature: Feature, coding: Coding) -> Json:
    """Return the JSON schema of one feature in a coding: what is accepted on the wire."""
    table = decoder(feature, coding)
    if table is None:
        schema: Json = {"type": "number", "minimum": feature.low, "maximum": feature.high}
    elif coding is Coding.LABELS and feature.kind is Kind.BOOLEAN:
        schema = {"type": "boolean"}
    elif coding is Coding.LABELS and feature.kind is Kind.CATEGORY:
        schema = {"type": "string", "enum": list(table)}
    else:
        schema = {"type": "number", "enum": sorted(table)}
    text = ". ".join(part.rstrip(".") for part in (feature.title, feature.help) if part)
    if feature.required:
        return {**schema, "description": text}
    return {"anyOf": [schema, {"type": "null"}], "description": f"{text}. null = unknown."}


def item_schema(coding: Coding) -> Json:
    """Return the JSON schema of a patient in a batch."""
    schema = patient_schema(coding)
    schema["properties"]["patient_reference"] = {
        "anyOf": [{"type": "string", "pattern": REFERENCE_PATTERN}, {"type": "null"}],
        "description": "Your pseudonym for this patient, instead of the header Patient-Reference.",
    }
    return schema


def patient_schema(coding: Coding) -> Json:
    """Return the JSON schema of a patient in a coding."""
    values = zip(FEATURES, EXAMPLE, strict=True)
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [feature.name for feature in FEATURES if feature.required],
        "properties": {feature.name: feature_schema(feature, coding) for feature in FEATURES},
        "example": {feature.name: encode(feature, value, coding) for feature, value in values},
    }


def row_schema() -> Json:
    """Return the JSON schema of a logged prediction (features in labels; codes on request)."""
    nullable: Json = {"type": ["string", "number", "boolean", "null"]}
    number, time = {"type": "number"}, {"type": "string", "format": "date-time"}
    after = {
        "probability": number, "prediction": {"enum": [0, 1]}, "threshold": number,
        "model_version": {"type": "string"}, "latency_ms": number,
        "key_id": {"type": ["string", "null"],
                   "description": "The API key of the caller; null where no keys are configured."},
        "outcome": {"enum": [0, 1, None]},
        "observed_at": {"anyOf": [time, {"type": "null"}]},
        **_RESPONSE,
        "decision": {"enum": [*DECISIONS, None]},
    }  # fmt: skip
    before = {
        "id": {"type": "string", "format": "uuid"},
        "received_at": time,
        "source": {"enum": list(SOURCES)},
    }
    return {
        "type": "object",
        "properties": {**before, **dict.fromkeys(NAMES, nullable), **after},
        "required": [*before, *NAMES, *after],
    }


PROBLEM: Json = {
    "type": "object",
    "description": "RFC 9457. `errors` names each wrong field; no value that was sent is repeated.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "total": {"type": "integer", "description": "All errors, of which the first are listed."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {
                    "index": {"type": "integer", "description": "Place in a batch, from 0."},
                    "field": {"type": "string"},
                    "message": {"type": "string"},
                },
            },
        },
    },
}

OUTCOME_ROW: Json = {
    "type": "object",
    "required": ["id", "outcome", "observed_at", "recorded_at"],
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "outcome": {"enum": [0, 1]},
        "observed_at": {"type": ["string", "null"], "format": "date-time"},
        "recorded_at": {"type": "string", "format": "date-time"},
    },
}

RESPONSE_ROW: Json = {
    "type": "object",
    "required": ["id", *_RESPONSE, "recorded_at"],
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        **_RESPONSE,
        "recorded_at": {"type": "string", "format": "date-time"},
    },
}

_MEANING = {
    400: "Not HTTP/1.1, or a repeated security-relevant header",
    408: "The request was not complete within 10 seconds",
    429: "Rate limit exceeded; Retry-After says when to try again",
    431: "The request line and headers exceed 16 KiB",
    401: "Missing or unknown API key",
    403: "The key lacks the role; or, without keys, the request is not from this machine",
    404: "Not found",
    405: "Method not allowed",
    409: "The idempotency key was used with another request; or this API key has recorded 100 "
    "outcomes or responses of the prediction, and this one changes nothing; or this version cannot "
    "read the scorecard that made the prediction",
    413: "The body is too large",
    415: "The body is not plain JSON",
    422: "Invalid: one entry per field says what, what is allowed and in which unit",
    426: "JSONL and CSV require HTTP/1.1",
    503: "The log cannot be written or read at the moment; Retry-After says when to try again",
}


def problem_responses(*statuses: int) -> Responses:
    """Document problems by status."""
    content = {"application/problem+json": {"schema": ref("Problem")}}
    return {str(s): {"description": _MEANING[s], "content": content} for s in statuses}


def responses(schema: Json, *problems: int, description: str = "Answered") -> Responses:
    """Document a JSON response, and problems by status."""
    content = {"application/json": {"schema": schema}}
    return problem_responses(*problems) | {"200": {"description": description, "content": content}}


_OBJECT: Json = {"type": "object"}
_ITEMS: Json = {"type": "array", "items": ref("LoggedPrediction")}
_PAGE: Json = {
    "type": "object",
    "required": ["items", "next"],
    "properties": {
        "items": _ITEMS,
        "next": {"type": ["string", "null"], "description": "Send it as `cursor` for more."},
    },
}
_RANGE: Json = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
_EXPLAINED: Json = {
    "type": "object",
    "required": ["id", "model_version", "probability", "interval", "explanation"],
    "properties": {
        "id": {"type": "string"},
        "model_version": {"type": "string"},
        "probability": {"type": "number"},
        "interval": _RANGE,
        "explanation": ref("Explanation"),
        "unknown_range": _RANGE,
        "most_informative": {"type": "string"},
    },
}
_TIME: Json = {"type": "string", "format": "date-time"}
_OUTCOME_SENT: Json = {
    "type": "object",
    "additionalProperties": False,
    "required": ["outcome"],
    "properties": {
        "outcome": {"enum": [0, 1], "description": "1 = disease found, 0 = no disease"},
        "observed_at": {
            "anyOf": [_TIME, {"type": "null"}],
            "description": "When it was found, from 1900 on and not in the future.",
        },
    },
    "example": {"outcome": 1, "observed_at": "2026-01-31T08:00:00Z"},
}
OUTCOME_BODY: Json = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": _OUTCOME_SENT}}}
}

_FOUND: Json = {"type": "object", "required": ["items"], "properties": {"items": _ITEMS}}
_SEARCHED: Json = {
    "type": "object",
    "additionalProperties": False,
    "required": ["patient_reference"],
    "properties": {"patient_reference": {"type": "string", "pattern": REFERENCE_PATTERN}},
    "example": {"patient_reference": "hospital-4711"},
}
SEARCH_BODY: Json = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": _SEARCHED}}}
}

_RESPONSE_SENT: Json = {
    "type": "object",
    "additionalProperties": False,
    "required": ["decision"],
    "properties": _RESPONSE,
    "example": {"decision": "override", "reason": "other-findings", "action": "angiography"},
}
RESPONSE_BODY: Json = {
    "parameters": [ACTOR],
    "requestBody": {"required": True, "content": {"application/json": {"schema": _RESPONSE_SENT}}},
}

_ACKNOWLEDGED: Json = {
    "type": "object",
    "required": ["id", "acknowledged_at", "acknowledged_by", "note"],
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "acknowledged_at": _TIME,
        "acknowledged_by": {"type": "string"},
        "note": {"type": ["string", "null"]},
    },
}
_ACKNOWLEDGEMENT_SENT: Json = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "by": {
            "type": ["string", "null"],
            "maxLength": MAX_NAME,
            "description": "Who acknowledges it; default: the name of the API key.",
        },
        "note": {"type": ["string", "null"], "maxLength": MAX_NOTE},
    },
    "example": {"by": "A. Keller", "note": "New laboratory since Monday; asked for its units."},
}
ACKNOWLEDGEMENT_BODY: Json = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": _ACKNOWLEDGEMENT_SENT}},
    }
}

_STREAMS: Json = {"text/csv": {}, "application/jsonl": {}}
LOG_RESPONSES = responses(_PAGE, 401, 403, 422, 426, 503)
LOG_RESPONSES["200"]["content"] |= _STREAMS
SEARCH_RESPONSES = responses(_FOUND, 401, 403, 413, 415, 422, 503)
ROW_RESPONSES = responses(ref("LoggedPrediction"), 401, 403, 404, 422, 503)
EXPLANATION_RESPONSES = responses(_EXPLAINED, 401, 403, 404, 409, 422, 503)
OUTCOME_RESPONSES = responses(ref("Outcome"), 401, 403, 404, 409, 413, 415, 422, 503)
RESPONSE_RESPONSES = responses(ref("Response"), 401, 403, 404, 409, 413, 415, 422, 503)
ACKNOWLEDGEMENT_RESPONSES = responses(_ACKNOWLEDGED, 401, 403, 404, 413, 415, 422, 503)
STATIC_RESPONSES = responses(_OBJECT, 401, 403, 422)
HEALTH_RESPONSES = responses(_OBJECT, 403, 422)
READY_RESPONSES = responses(_OBJECT, 403, 422, 503)
_EXPOSITION = {"description": "Prometheus' text exposition", "content": {"text/plain": {}}}
METRICS_RESPONSES = problem_responses(403, 422) | {"200": _EXPOSITION}
