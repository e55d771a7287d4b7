from __future__ import annotations

import pytest

from dashboard.pages.patient import form
from pipeline.dataset.heart.codings import Coding, encode
from pipeline.schema import BY_NAME, FEATURES, Feature, Kind


@pytest.mark.parametrize("feature", FEATURES, ids=lambda f: f.name)
def test_every_value_survives_the_way_into_the_form_and_back(feature: Feature) -> None:
    codes = feature.codes.values() or [feature.low, feature.high]
    for code in codes:
        value = encode(feature, float(code), Coding.LABELS)
        assert form.to_wire(feature, form.to_widget(feature, value)) == value


@pytest.mark.parametrize("feature", FEATURES, ids=lambda f: f.name)
def test_what_is_not_known_is_not_sent(feature: Feature) -> None:
    assert form.to_wire(feature, form.to_widget(feature, None)) is None


def test_every_kind_of_feature_has_an_input() -> None:
    assert set(form._INPUTS) == set(Kind)


def test_age_and_sex_are_what_is_needed() -> None:
    assert form.missing_required({}) == ["Age", "Sex"]
    assert form.missing_required({"age": 50.0, "sex": "female"}) == []


def test_the_sections_of_the_form_begin_with_features_in_their_order() -> None:
    order = list(BY_NAME)
    assert list(form.SECTIONS) == sorted(form.SECTIONS, key=order.index)
    assert next(iter(form.SECTIONS)) == order[0]


def test_two_patients_differ_in_what_was_changed_or_left_out() -> None:
    assert form.changed_findings({"age": 50.0, "ca": 1.0}, {"age": 51.0, "fbs": True}) == [
        "age",
        "fbs",
        "ca",
    ]
