from __future__ import annotations

import copy
import json
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.pages.model_card import chart_data, svg, texts, texts_limits
from dashboard.pages.model_card.document import render_html
from dashboard.pages.model_card.sections import EvidenceMissing, ModelCard, build_card
from pipeline.dataset.heart import HOSPITAL
from pipeline.model.reference import Population
from tests.dashboard.conftest import shown
from tests.programs import invoke

OWN = {"auc": {"mean": 0.912}, "ece": {"mean": 0.037}}
HOSTILE = "<script>alert(1)</script> & *b*.csv"


def card(found: dict[str, Any]) -> ModelCard:
    return build_card(found, Population.of_evidence(found["evidence"]))


@pytest.fixture
def found(model_dir: Path) -> dict[str, Any]:
    """What `GET /model` answers."""
    evidence = json.loads((model_dir / "evidence.json").read_text())
    return {"version": evidence["version"], "threshold": 0.5, "evidence": evidence}


@pytest.fixture
def validated(found: dict[str, Any]) -> dict[str, Any]:
    """The same after a validation on a hospital whose file has a hostile name."""
    changed = copy.deepcopy(found)
    own = found["evidence"]["cross_validation"]
    changed["evidence"]["external"] = [
        {
            "file": HOSTILE, "sha256": "", "n": 40, "n_disease": 10, "auc": 0.75,
            "auc_interval": [0.6, 0.9], "brier": 0.2, "brier_interval": [0.1, 0.3],
            "accuracy": 0.7, "ece": 0.12, "calibration_intercept": -0.5,
            "calibration_slope": None, "reliability": own["reliability"],
            "missing": {"ca": 40, "thal": 0},
        }
    ]  # fmt: skip
    return changed


def opened(page: AppTest) -> AppTest:
    page.run().switch_page("model_card/page.py").run()
    assert not page.exception
    return page


def test_without_the_service_the_page_says_where_the_card_is(pages: AppTest) -> None:
    assert texts.NOTHING_TITLE in shown(opened(pages))


@pytest.mark.parametrize("logged", [0, 1, 1000], indirect=True)
def test_the_card_is_the_same_whatever_was_logged(logged: int, served: AppTest) -> None:
    page = opened(served)
    assert page.title[0].value.startswith("AUC 0.9")
    assert [header.value for header in page.header] == [
        "Calibration", "Comparison with challenger models", "External validation",
        "Fairness by sex", "Training data", "Model details", "Limitations and out-of-scope use",
        "Criteria for retraining or withdrawal",
    ]  # fmt: skip
    models = page.table[1].value
    assert models["Model"].tolist() == ["Logistic regression", "Random forest", "Gradient boosting"]


def test_a_model_of_an_older_training_says_what_to_do(
    served: AppTest, monkeypatch: pytest.MonkeyPatch, found: dict[str, Any]
) -> None:
    del found["evidence"]["audit"]
    monkeypatch.setattr("dashboard.shared.data_access.model_card", lambda: found)
    assert "make train" in shown(opened(served))


def test_a_name_that_looks_like_markup_is_shown_as_it_is(
    served: AppTest, monkeypatch: pytest.MonkeyPatch, validated: dict[str, Any]
) -> None:
    monkeypatch.setattr("dashboard.shared.data_access.model_card", lambda: validated)
    said = shown(opened(served))
    assert r"\<script\>alert\(1\)\<\/script\> \& \*b\*\.csv" in said


@pytest.mark.parametrize(
    ("external", "end"),
    [
        ([], "no external validation."),
        ([(0.89, 0.08)], "external validation: AUC 0.89, expected calibration error 8 "),
        ([(0.89, 0.08), (0.7, 0.01)], "external validation: at worst AUC 0.70, expected "),
    ],
)
def test_the_verdict_gives_auc_and_calibration_in_training_and_external_validation(
    external: list[tuple[float, float]], end: str
) -> None:
    said = texts.verdict(OWN, [{"auc": auc, "ece": ece} for auc, ece in external])
    assert said.startswith(
        "AUC 0.91 (91 of 100 sick/healthy pairs ranked correctly), expected calibration error "
        f"4 percentage points; {end}"
    )


def test_a_bad_external_validation_is_marked_among_the_criteria(
    validated: dict[str, Any], found: dict[str, Any]
) -> None:
    assert "(met: see External validation above)" in card(validated).sections[-1].points[0]
    assert "(met" not in card(found).sections[-1].points[0]


def test_numbers_are_summed_up_by_their_ends_and_their_median() -> None:
    # 1, 2, 2, 9: half of the four are reached at 2
    assert texts_limits.value_range({1.0: 1, 2.0: 2, 9.0: 1}, "mm") == "1 to 9, median 2 mm"


def test_the_range_of_an_observed_share_is_wilsons() -> None:
    (point,) = chart_data.points([{"n": 10, "predicted": 0.4, "observed": 0.5}])
    # by hand: (.5 + 1.92 / 10) / (1 + 3.84 / 10) = .5; half 1.96 / 1.384 * sqrt(.25 / 10 + .0096)
    assert (point.low, point.high) == pytest.approx((0.2366, 0.7634), abs=1e-4)


class Tags(HTMLParser):
    """Collects tags, and what refers to elsewhere."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.references: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [f"{k}={v}" for k, v in attrs if k in ("href", "src", "srcset", "data")]


@pytest.fixture
def written(validated: dict[str, Any]) -> tuple[ModelCard, str]:
    made = card(validated)
    return made, render_html(made)


def test_the_file_needs_nothing_from_elsewhere_and_runs_nothing(
    written: tuple[ModelCard, str],
) -> None:
    _, page = written
    tags = Tags(page)
    assert not {"script", "link", "img", "iframe", "object", "base"} & set(tags.tags)
    assert tags.references == []
    assert "url(" not in page
    assert "@import" not in page
    assert "default-src 'none'" in page
    assert "&lt;script&gt;alert(1)" in page


def test_the_file_holds_all_that_the_page_says(written: tuple[ModelCard, str]) -> None:
    made, page = written
    tags = Tags(page)
    assert tags.tags.count("h1") == 1
    assert tags.tags.count("section") == len(made.sections)
    assert tags.tags.count("svg") == sum(s.chart is not None for s in made.sections)
    assert tags.tags.count("table") == sum(bool(s.table) for s in made.sections)


def test_the_pictures_of_the_file_are_well_formed_and_inside_their_frame(
    written: tuple[ModelCard, str],
) -> None:
    for section in written[0].sections:
        if section.chart is None:
            continue
        drawing = ET.fromstring(svg.draw(section.chart))  # noqa: S314 - our own
        _, _, width, height = (float(v) for v in drawing.attrib["viewBox"].split())
        dots = [e for e in drawing.iter() if e.tag.endswith("circle")]
        assert dots
        assert all(0 < float(d.attrib["cx"]) < width for d in dots)
        assert all(0 < float(d.attrib["cy"]) < height for d in dots)


@pytest.mark.parametrize(("low", "high"), [(0.83, 0.97), (-0.21, 0.44), (0.0, 1.0)])
def test_an_axis_has_three_to_seven_round_marks(low: float, high: float) -> None:
    marks = svg.ticks(low, high)
    assert 3 <= len(marks) <= 8
    assert all(low <= mark <= high for mark in marks)


def test_the_command_writes_the_card_of_the_model_folder(
    model_dir: Path, tmp_path: Path, found: dict[str, Any]
) -> None:
    target = tmp_path / "card.html"
    ended = invoke("card", str(target), "--model-dir", str(model_dir))
    assert ended.returncode == 0, ended.stderr
    statement = f"303 patients of {HOSPITAL}"
    assert target.read_text().replace(statement, "303 patients of the file heart.csv").replace(
        " (1981-1984)", ""
    ) == render_html(card(found))


def test_without_a_model_the_command_says_so_in_one_line(tmp_path: Path) -> None:
    ended = invoke("card", "--model-dir", str(tmp_path))
    assert ended.returncode == 4
    assert "make train" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_bundle_without_a_part_is_incomplete(found: dict[str, Any]) -> None:
    del found["evidence"]["challengers"]
    with pytest.raises(EvidenceMissing):
        card(found)
