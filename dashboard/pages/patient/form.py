"""The patient form, derived from `FEATURES`: one function for each kind of feature.

An input left at "unknown" or empty is not sent; only age and sex are required. The labels show the
limits; the API checks them, because only it recognises a value in another unit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import streamlit as st

from dashboard.shared.prediction.panels import Wire
from pipeline.schema import BY_NAME, FEATURES, Feature, Kind

UNKNOWN = "unknown"
BOOLEAN_LABELS: Mapping[str, bool] = MappingProxyType({"yes": True, "no": False})

SECTIONS: Mapping[str, str] = MappingProxyType(
    {"age": "Patient", "cp": "At rest", "thalach": "Exercise test", "ca": "Imaging"}
)
"""First feature of a section -> its heading."""


def label(feature: Feature) -> str:
    """Return the label with unit and limits, as "Age (18 to 120 years), required"."""
    text = feature.label
    if feature.is_numeric:
        text += f" ({feature.low:g} to {feature.high:g} {feature.unit})"
    return f"{text}, required" if feature.required else text


def _number(feature: Feature, key: str) -> None:
    st.number_input(
        label(feature),
        value=None,
        step=feature.step,
        format="%g",
        placeholder="" if feature.required else UNKNOWN,
        help=feature.help or None,
        key=key,
        persist_state="session",
    )


def _segments(feature: Feature, key: str) -> None:
    words = [str(n) for n in feature.values]
    words = list(feature.codes) if feature.kind is Kind.CATEGORY else words
    words = list(BOOLEAN_LABELS) if feature.kind is Kind.BOOLEAN else words
    st.segmented_control(
        label(feature),
        words if feature.required else [UNKNOWN, *words],
        required=True,
        help=feature.help or None,
        key=key,
        persist_state="session",
        width="stretch",
    )


def _choice(feature: Feature, key: str) -> None:
    if feature.required:  # two words: both visible, none chosen
        _segments(feature, key)
        return
    st.selectbox(
        label(feature),
        [UNKNOWN, *feature.codes],
        help=feature.help or None,
        key=key,
        persist_state="session",
    )


_INPUTS: Mapping[Kind, Callable[[Feature, str], None]] = MappingProxyType(
    {Kind.NUMBER: _number, Kind.COUNT: _segments, Kind.BOOLEAN: _segments, Kind.CATEGORY: _choice}
)


def to_wire(feature: Feature, shown: object) -> Wire:
    """Return an input's value as the API takes it."""
    if shown is None or shown == UNKNOWN:
        return None
    if feature.kind is Kind.BOOLEAN:
        return BOOLEAN_LABELS[str(shown)]
    if feature.codes:
        return str(shown)
    return float(str(shown))


def to_widget(feature: Feature, value: Wire) -> object:
    """Return a value of the API as an input holds it; the inverse of `to_wire`."""
    if feature.kind is Kind.NUMBER:
        return value
    if value is None:
        return None if feature.required else UNKNOWN
    if feature.kind is Kind.BOOLEAN:
        return next(word for word, meant in BOOLEAN_LABELS.items() if meant is value)
    return f"{value:g}" if feature.kind is Kind.COUNT else value


def _key(form: str, feature: Feature) -> str:
    return f"{form}_{feature.name}"


def set_values(form: str, patient: Mapping[str, Wire]) -> None:
    """Fill a form before it is drawn; absent findings become unknown."""
    for feature in FEATURES:
        st.session_state[_key(form, feature)] = to_widget(feature, patient.get(feature.name))


def clear(form: str, *also: str) -> None:
    """Empty a form and remove these session entries."""
    set_values(form, {})
    for name in also:
        st.session_state.pop(name, None)


def values(form: str) -> dict[str, Wire]:
    """Return the values entered in a form, as the API takes them."""
    held = {f.name: to_wire(f, st.session_state.get(_key(form, f))) for f in FEATURES}
    return {name: value for name, value in held.items() if value is not None}


def missing_required(patient: Mapping[str, Wire]) -> list[str]:
    """Return the labels of the required findings that are missing."""
    return [f.label for f in FEATURES if f.required and f.name not in patient]


def _sections() -> list[tuple[str, list[Feature]]]:
    found: list[tuple[str, list[Feature]]] = []
    for feature in FEATURES:
        if feature.name in SECTIONS:
            found.append((SECTIONS[feature.name], []))
        found[-1][1].append(feature)
    return found


def patient_form(
    form: str, *, submit: str, clears: bool = True, forget: tuple[str, ...] = ()
) -> tuple[dict[str, Wire] | None, st.delta_generator.DeltaGenerator]:
    """Draw the form; return the entered values and a container for messages.

    The values are None unless the form was just submitted. The container is above the button.

    Parameters
    ----------
    form : str
        Name of the form; its inputs are kept in the session under it, also across pages.
    submit : str
        Label of the button.
    clears : bool
        Whether there is a button that empties the form.
    forget : tuple of str
        Session entries that "Clear" removes, too.
    """
    if _key(form, FEATURES[0]) not in st.session_state:
        set_values(form, {})
    with st.form(form, border=False, enter_to_submit=False):
        for heading, features in _sections():
            st.header(heading, anchor=False)
            with st.grid(2, min_column_width=240, gap="medium"):
                for feature in features:
                    _INPUTS[feature.kind](feature, _key(form, feature))
        said = st.container(key=f"{form}_said")
        with st.container(horizontal=True):
            submitted = st.form_submit_button(submit, type="primary", key=f"{form}_submit")
            if clears:
                st.form_submit_button(
                    "Clear", key=f"{form}_clear", on_click=clear, args=(form, *forget)
                )
    return (values(form) if submitted else None), said


def changed_findings(before: Mapping[str, Wire], after: Mapping[str, Wire]) -> list[str]:
    """Return the names of the findings in which two patients differ."""
    return [name for name in BY_NAME if before.get(name) != after.get(name)]
