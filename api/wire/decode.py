"""From a request's bytes to rows of UCI codes: one decoder per coding, derived from `FEATURES`.

A body is read in two ways. The fast one is a msgspec decoder with the limits built in, which only
accepts or rejects. When it rejects, `validation_errors` reads the same bytes again, slowly, to list
what is wrong with every field. A test compares the two, and the documented JSON schema.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from api.wire.problems import validation_problem
from api.wire.strict_json import UNREADABLE
from api.wire.validation_errors import REFERENCE, batch_errors, patient_errors
from pipeline.dataset.heart import Coding, decoder
from pipeline.schema import FEATURES, Feature, Kind

MAX_BATCH = 1000
"""Patients in one batch."""

Row = tuple[float | None, ...]

_Reference = Annotated[str, Meta(pattern=REFERENCE)]


def _wire_type(feature: Feature, coding: Coding) -> Any:
    """Return the msgspec type of a feature on the wire; code tables are checked by lookup."""
    if decoder(feature, coding) is None:
        kind: Any = Annotated[float, Meta(ge=feature.low, le=feature.high)]
    elif coding is Coding.LABELS and feature.kind is Kind.CATEGORY:
        kind = Literal[tuple(feature.codes)]
    elif coding is Coding.LABELS and feature.kind is Kind.BOOLEAN:
        kind = bool
    else:
        kind = float
    return kind if feature.required else kind | None | UnsetType


def _field(feature: Feature, coding: Coding) -> tuple[Any, ...]:
    kind = _wire_type(feature, coding)
    return (feature.name, kind) if feature.required else (feature.name, kind, UNSET)


class PatientDecoder:
    """Decodes patients in one coding."""

    def __init__(self, coding: Coding) -> None:
        self.coding = coding
        patient = msgspec.defstruct(
            f"Patient_{coding}",
            [_field(feature, coding) for feature in FEATURES],
            forbid_unknown_fields=True,
            gc=False,
        )
        item = msgspec.defstruct(
            f"Item_{coding}",
            [("patient_reference", _Reference | None | UnsetType, UNSET)],
            bases=(patient,),
            kw_only=True,
            forbid_unknown_fields=True,
            gc=False,
        )
        self._one = msgspec.json.Decoder(patient)
        self._batch = msgspec.json.Decoder(list[item])  # type: ignore[valid-type]
        absent: Mapping[Any, None] = {None: None, UNSET: None}
        tables = [decoder(feature, coding) for feature in FEATURES]
        self._tables = tuple(
            (i, {**table, **absent}) for i, table in enumerate(tables) if table is not None
        )

    def decode_one(self, body: bytes) -> Row:
        """Return the row of one patient, shape (13,), None = unknown.

        Raises
        ------
        Problem
            422, naming every field that is wrong.
        """
        try:
            values = msgspec.structs.astuple(self._one.decode(body))
            # A key that is given twice leaves no trace in the decoded patient, but no accepted key
            # or word contains a colon, so there are as many colons as keys.
            absent = values.count(UNSET)
            if body.count(b":") == len(values) - absent:
                return self._row(values, absent)
        except (msgspec.MsgspecError, KeyError, RecursionError, UnicodeDecodeError):
            pass
        raise validation_problem(patient_errors(body, self.coding))

    def decode_batch(self, body: bytes) -> tuple[list[Row], list[str | None]]:
        """Return the rows of a batch in its order, and the patient reference of each.

        Raises
        ------
        Problem
            422 with the first 20 errors and their number; nothing of the batch is accepted.
        """
        rows, references, keys = [], [], 0
        try:
            for item in self._batch.decode(body):
                *values, reference = msgspec.structs.astuple(item)
                absent = values.count(UNSET)
                keys += len(values) - absent
                if reference:  # its colons are no key's
                    keys += 1 + reference.count(":")
                rows.append(self._row(values, absent))
                references.append(reference or None)
            if 0 < len(rows) <= MAX_BATCH and body.count(b":") == keys:
                return rows, references
        except (msgspec.MsgspecError, KeyError, RecursionError, UnicodeDecodeError):
            rows = []
        errors = batch_errors(body, self.coding, MAX_BATCH)
        if rows and not errors:  # a reference of null, or with an escaped colon
            return rows, references
        raise validation_problem(errors[:20] or [UNREADABLE], total=len(errors))

    def _row(self, values: Sequence[Any], absent: int) -> Row:
        """Turn what was decoded into UCI codes; `absent` of the values are UNSET."""
        row = list(values)
        for i, table in self._tables:
            row[i] = table[row[i]]
        if absent:
            row = [None if value is UNSET else value for value in row]
        return tuple(row)


DECODERS: Mapping[Coding, PatientDecoder] = {coding: PatientDecoder(coding) for coding in Coding}
