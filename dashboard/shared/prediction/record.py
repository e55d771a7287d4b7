"""What a clinician takes away: a text for the health record, and one printed page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import streamlit as st

from dashboard.auth import login
from dashboard.shared import components, findings, numbers, widgets
from dashboard.shared.prediction import texts
from db.ids import timestamp_of
from pipeline.dataset.heart import CONDITION
from pipeline.schema import BY_NAME, FEATURES

if TYPE_CHECKING:
    from dashboard.shared.prediction.panels import Prediction

MAX_LENGTH = 600
"""Characters of the text, for fields of a health record."""

_ACTIONS = components.Component(
    "record",
    '<div class="record"><textarea readonly rows="6" aria-label="Text for the '
    'health record"></textarea><div class="actions"><button type="button" data-copy>Copy text'
    '</button><button type="button" data-print>Print</button></div>'
    '<output role="status"></output></div>',
    "record.js",
)


def draw(found: Prediction) -> None:
    """Draw time, id and model, the text with a copy button, a link, and the page that prints."""
    with widgets.card("Record"):
        when = _when(found)
        st.caption(
            f"{when} · model {found.response['model_version']}  \nPrediction {found.response['id']}"
        )
        _ACTIONS.draw("record", {"text": text(found, when)})
        login.page_link(
            "predictions", "Open this prediction in the log", {"id": found.response["id"]}
        )
    st.html(sheet(found, when))


def _when(found: Prediction) -> str:
    moment = timestamp_of(found.response["id"]).astimezone(widgets.zone())
    return f"{moment.day} {moment:%b %Y, %H:%M}"


def text(found: Prediction, when: str) -> str:
    """Return the prediction as a text of at most `MAX_LENGTH` characters."""
    low, high = map(numbers.probability, found.interval)
    said = [
        f"Cardiowatch, {when}: estimated risk of {CONDITION} "
        f"{numbers.probability(found.probability)}, 95 % interval {low} to {high}.",
        _unknown(found.response["missing"]),
    ]
    if found.unknown_range is not None:
        low, high = map(numbers.probability, found.unknown_range)
        said.append(f"With all findings known: {low} to {high}.")
    said += [
        texts.limits(found.population),
        f"Model {found.response['model_version']}, prediction {found.response['id']}.",
    ]
    return " ".join(said)


def _unknown(missing: Sequence[str]) -> str:
    """Return which findings were unknown, or which alone were known, whichever is shorter."""
    known = [f.name for f in FEATURES if f.name not in missing]
    if not missing:
        return f"All {len(FEATURES)} findings known."
    if len(missing) > len(known):
        return f"Unknown: {len(missing)} of {len(FEATURES)}, all but {_labels(known)}."
    return f"Unknown ({len(missing)} of {len(FEATURES)}): {_labels(missing)}."


def _labels(names: Sequence[str]) -> str:
    return numbers.join_words([findings.in_a_sentence(BY_NAME[name].label) for name in names])


def sheet(found: Prediction, when: str) -> str:
    """Return one A4 page as HTML, which style.css shows in print alone."""
    low, high = map(numbers.probability, found.interval)
    response = found.response
    above = [f"95 % interval of the estimate: {low} to {high}.", _unknown(response["missing"])]
    if found.unknown_range is not None:
        above.append(texts.unknown_range(found.unknown_range, found.most_informative))
    above += [f"{BY_NAME[w['field']].label}: {w['message']}." for w in response["warnings"]]
    whom = texts.natural_frequency(found.probability, found.population)
    rows = [
        "".join(f"<td>{escape(cell)}</td>" for cell in row.values())
        for row in findings.contributions(response["explanation"])
    ]
    headings = "".join(f"<th>{name}</th>" for name in ("Finding", "Log-odds", "Percentage points"))
    return (
        f'<div class="sheet"><p class="sheet-stale">{texts.CHANGED}</p>'
        f"<h1>Estimated risk of {CONDITION}</h1>"
        f"<p>{escape(_identity(found, when))}</p>"
        f'<p class="sheet-risk">{numbers.probability(found.probability)}</p>'
        f"{_paragraphs(' '.join(above), whom, texts.NOT_FOR_DIAGNOSIS)}"
        f"<table><tr>{headings}</tr>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"
        f"{_paragraphs(texts.POINTS_NOTE, texts.REASONS_NOTE, texts.DISEASE)}</div>"
    )


def _identity(found: Prediction, when: str) -> str:
    response = found.response
    return f"{when} · model {response['model_version']} · prediction {response['id']}"


def _paragraphs(*marked: str) -> str:
    plain = [re.sub(r"[*\\]", "", text) for text in marked]  # without Markdown's marks
    return "".join(f"<p>{escape(text)}</p>" for text in plain)
