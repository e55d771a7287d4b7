"""The patient form, derived from `FEATURES`: plain HTML inputs in a component of our own.

Streamlit's inputs drop a decimal comma and move the focus without the selection (ADR 13). The
server writes the HTML and reads the entries; form.js reports them and shows what the server says.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from html import escape
from itertools import groupby
from typing import Any

from dashboard.pages.patient import case as visit
from dashboard.pages.patient import texts
from dashboard.pages.patient.case import Case
from dashboard.shared import components
from dashboard.shared.prediction import entries
from dashboard.shared.prediction import texts as prediction_texts
from pipeline.schema import FEATURES, Feature, Kind


def _hint(feature: Feature) -> str:
    limits = (
        f"{feature.low:g} to {feature.high:g} {feature.unit}.".replace("-", "\u2212")
        if _is_typed(feature)
        else ""
    )
    return " ".join(filter(None, (limits, feature.help)))


def _is_typed(feature: Feature) -> bool:
    return feature.kind is Kind.NUMBER


def _radios(name: str, shown: dict[str, str], chosen: str | None) -> Iterator[str]:
    for value, word in shown.items():
        checked = " checked" if value == chosen else ""
        yield (
            f'<label class="option"><input type="radio" name="{name}" value="{escape(value)}"'
            f"{checked}><span>{escape(word)}</span></label>"
        )


def _typed(feature: Feature, id: str) -> str:  # noqa: A002 - the attribute's name
    keyboard = "decimal" if feature.low >= 0 else "text"  # a decimal keypad may lack the minus
    unit, second = f" ({escape(feature.unit)})", feature.second_unit
    switch = ""
    if second is not None:
        units = {u: u for u in (feature.unit, second.unit)}
        options = "".join(_radios(entries.unit_of(feature), units, feature.unit))
        unit = ""
        switch = (
            f'<div class="options" role="radiogroup" aria-label="Unit of {escape(feature.label)}">'
            f"{options}</div>"
        )
    return (
        f'<label for="{id}">{escape(feature.label)}{unit}{_required(feature)}</label>'
        f'<div class="typed"><input id="{id}" name="{feature.name}" type="text" maxlength="20"'
        f' inputmode="{keyboard}" autocomplete="off" aria-describedby="{id}-note"'
        f"{' aria-required=true' * feature.required}>{switch}</div>"
    )


def _chosen(feature: Feature, id: str) -> str:  # noqa: A002
    shown = {} if feature.required else {"": entries.UNKNOWN}
    shown |= {word: word for word in entries.words(feature)}
    return (
        f'<span class="label" id="{id}-label">{escape(feature.label)}{_required(feature)}</span>'
        f'<div class="options" role="radiogroup" aria-labelledby="{id}-label"'
        f' aria-describedby="{id}-note"{" aria-required=true" * feature.required}>'
        f"{''.join(_radios(feature.name, shown, ''))}</div>"
    )


def _required(feature: Feature) -> str:
    return ", required" if feature.required else ""


def _field(feature: Feature, form: str) -> str:
    id, hint = f"{form}-{feature.name}", escape(_hint(feature))  # noqa: A001
    return (
        f'<div class="field" data-name="{feature.name}" data-hint="{hint}">'
        f"{(_typed if _is_typed(feature) else _chosen)(feature, id)}"
        f'<p class="note" id="{id}-note">{hint}</p></div>'
    )


def _reference(form: str) -> str:
    id = f"{form}-{visit.REFERENCE}"  # noqa: A001
    return (
        f'<div class="field" data-name="{visit.REFERENCE}" data-hint="{texts.REFERENCE_HINT}">'
        f'<label for="{id}">{texts.REFERENCE}</label><div class="typed">'
        f'<input id="{id}" name="{visit.REFERENCE}" type="text" maxlength="64" autocomplete="off"'
        f' spellcheck="false" aria-describedby="{id}-note"></div>'
        f'<p class="note" id="{id}-note">{texts.REFERENCE_HINT}</p></div>'
    )


def html(form: str, submit: str, *, whole: bool) -> str:
    """Return the form as HTML, without entries; its script enables it.

    Its method "dialog" means that the browser by itself sends it nowhere, and never as an address.

    Parameters
    ----------
    form : str
        Name of the form; the ids of its inputs begin with it.
    submit : str
        Label of the button.
    whole : bool
        Whether it takes a patient reference and can be cleared.
    """
    sections = "".join(
        f'<section><h2>{escape(heading)}</h2><div class="fields">'
        f"{''.join(_field(feature, form) for feature in features)}</div></section>"
        for heading, features in groupby(FEATURES, key=lambda f: f.section)
    )
    clear = f'<button type="button" data-new>{texts.NEW_PATIENT}</button>' if whole else ""
    return (
        f'<form class="entry" method="dialog" novalidate autocomplete="off"'
        f' aria-label="{form.capitalize()}" data-stale="{prediction_texts.CHANGED}"'
        f' data-busy="{texts.ESTIMATING}" data-lost="{texts.CONNECTION_LOST}">'
        f"<fieldset disabled>{sections}"
        f"{_reference(form) if whole else ''}"
        f'<div class="actions"><button type="submit">{submit}</button>{clear}</div>'
        '<output class="said" role="status"></output></fieldset></form>'
    )


_FORMS = {
    "patient": components.Component(
        "patient", html("patient", "Estimate risk", whole=True), "form.js", "form.css"
    ),
    "changed": components.Component(
        "changed", html("changed", "Compare", whole=False), "form.js", "form.css"
    ),
}


def draw(form: str, case: Case) -> None:
    """Draw a form with the entries of a case and what there is to say about them."""
    _FORMS[form].draw(
        key=form, data=_data(case), on_message=partial(_hear, form, case.id)
    )  # fmt: skip


def _data(case: Case) -> dict[str, Any]:
    """Return what form.js shows: the entries, and one note for each finding that has one."""
    reading = entries.read(case.entries)
    if case.estimate is not None and case.estimated_revision == case.revision:
        reading.unusual = texts.warnings(case.estimate)
    notes = {
        name: ("unusual" if name in reading.unusual else "converted",
               " ".join(filter(None, (reading.converted.get(name), reading.unusual.get(name)))))
        for name in reading.converted | reading.unusual
    }  # fmt: skip
    refused = reading.refused | case.refused
    return {
        "case": case.id,
        "begun": not case.cleared,
        "entries": case.entries,
        "revision": case.revision,
        "estimated": case.estimated_revision,
        "notes": notes | {name: ("refused", text) for name, text in refused.items()},
        "answers": case.answers,
        "said": case.said,
        "refused": next((f.name for f in FEATURES if f.name in case.refused), ""),
    }


def _hear(form: str, id: str, message: dict[str, Any]) -> None:  # noqa: A002
    case = visit.current()
    if message.get("kind") == "new":
        visit.start()
        return
    target = case if form == "patient" else case.changed
    if target is not None and target.id == id == message.get("case"):
        target.hear(message)
        case.seen_at = target.seen_at
