"""The fast decoder, the slow explanation and the documented schema agree on what is accepted."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.wire.decode import DECODERS
from api.wire.openapi_schemas import patient_schema
from api.wire.problems import Problem
from api.wire.validation_errors import patient_errors
from pipeline.dataset.heart import Coding, decoder, encode
from pipeline.schema import FEATURES, Feature

SCHEMAS = {coding: jsonschema.Draft202012Validator(patient_schema(coding)) for coding in Coding}


def near_misses(feature: Feature, coding: Coding) -> st.SearchStrategy[Any]:
    """Values that a caller might send for a feature: right ones, and ones just off."""
    table = decoder(feature, coding)
    right = (
        st.sampled_from(list(table))
        if table
        else st.floats(feature.low, feature.high) | st.integers(int(feature.low), int(feature.high))
    )
    limits = [feature.low, feature.high, feature.low - 1, feature.high + 1]
    odd = [None, True, False, 0, 1, -1, 1.5, 4, "63", "male", "", "no", [], {}, *limits]
    return right | st.sampled_from(odd)


def patients(coding: Coding) -> st.SearchStrategy[dict[str, Any]]:
    some = {feature.name: near_misses(feature, coding) for feature in FEATURES}
    right = {"age": st.integers(18, 120), "sex": some["sex"]}
    return st.fixed_dictionaries(
        right, optional={name: some[name] for name in some if name not in right} | {"x": st.none()}
    ) | st.fixed_dictionaries({}, optional=some)


def accepted(body: bytes, coding: Coding) -> bool:
    try:
        DECODERS[coding].decode_one(body)
    except Problem:
        return False
    return True


@pytest.mark.parametrize("coding", list(Coding))
@settings(max_examples=400, deadline=None)
@given(data=st.data())
@pytest.mark.slow
def test_decoder_explanation_and_documented_schema_agree(
    coding: Coding, data: st.DataObject
) -> None:
    patient = data.draw(patients(coding))
    body = json.dumps(patient).encode()

    documented = SCHEMAS[coding].is_valid(patient)

    assert accepted(body, coding) is documented
    if not documented:
        errors = patient_errors(body, coding)
        assert errors
        assert all(error.reason != "malformed" for error in errors)


@settings(max_examples=400, deadline=None)
@given(body=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_at_all_get_more_than_a_refusal(body: bytes) -> None:
    for coding in Coding:
        assert not accepted(body, coding)


@pytest.mark.parametrize("coding", list(Coding))
def test_a_stored_row_comes_back_in_each_coding_as_it_was_sent(coding: Coding) -> None:
    row = (63.0, 1.0, 4.0, 145.0, None, 1.0, 2.0, 150.0, 0.0, 2.3, 3.0, 0.0, 7.0)

    wire = {f.name: encode(f, value, coding) for f, value in zip(FEATURES, row, strict=True)}

    assert DECODERS[coding].decode_one(json.dumps(wire).encode()) == row
