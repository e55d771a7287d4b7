from __future__ import annotations

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from tests.dashboard.conftest import log_in, shown

Write = Callable[..., list[str]]
PAGE = "explanations/page.py"


def visit(page: AppTest) -> str:
    page.run()
    page.switch_page(PAGE).run()
    assert not page.exception
    return page.title[0].value


def test_an_empty_log_without_a_service_has_nothing_to_explain(pages: AppTest) -> None:
    assert visit(pages) == "No predictions to explain yet."
    assert [link.value for link in pages.page_link] == ["Enter a patient"]


def test_one_prediction_is_explained_without_the_service(
    pages: AppTest, write: Write, known: str
) -> None:
    (id_,) = write(1, model_version=known)
    assert visit(pages) == "Too few for global feature importance: 1 logged patient, 20 needed."
    assert "the most recent live prediction" in shown(pages)
    assert "Training patients are not shown" in shown(pages)
    assert pages.table[-1].value["ID"].tolist() == [id_]


def test_twenty_predictions_give_global_feature_importance_without_the_service(
    pages: AppTest, write: Write, known: str
) -> None:
    write(20, model_version=known)
    assert visit(pages).startswith("The model relies mostly on ")


@pytest.fixture
def thousand(write: Write, known: str) -> None:
    """A thousand predictions, written before the API begins to write."""
    write(1000, model_version=known, thal=None)


def test_a_thousand_predictions_of_one_kind_are_seen_to_differ_from_training(
    thousand: None, served: AppTest
) -> None:
    said = visit(served)
    assert said.startswith("The model relies mostly on chest pain")
    assert "for logged patients" in said
    assert "303 training patients and the most recent 1,000 live predictions" in shown(served)
    assert {"Training", "Logged"} <= set(served.table[0].value.columns)


def test_predictions_at_or_above_the_threshold_come_first_with_five_findings(
    pages: AppTest, write: Write, known: str
) -> None:
    (positive,) = write(1, model_version=known, probability=0.75, prediction=1)
    write(20, model_version=known, probability=0.25, prediction=0)
    visit(pages)
    table = pages.table[-1].value
    assert table["ID"][0] == positive
    assert len(table) == 10
    assert table["Largest contributions"][0].count(";") == 4


def test_a_version_that_the_log_does_not_hold_is_said(pages: AppTest, write: Write) -> None:
    write(1)
    visit(pages)
    assert "Model unavailable" in shown(pages)


@pytest.mark.parametrize("picture", ["swarm", "one"])
def test_every_picture_can_be_chosen(served: AppTest, picture: str) -> None:
    visit(served)
    served.get_by_key("picture").set_value(picture).run()
    assert not served.exception
    assert ("Teal = low" in shown(served)) == (picture == "swarm")
    assert ("Random forest" in shown(served)) == (picture == "one")


def test_the_other_models_are_ranked_beside_the_one_in_service(served: AppTest) -> None:
    visit(served)
    ranks = served.table[1].value
    assert ranks["This model"].tolist() == [str(i) for i in range(1, 14)]
    assert sorted(ranks["Random forest"], key=int) == [str(i) for i in range(1, 14)]


def test_the_viewer_chooses_how_many_of_the_newest_predictions_are_explained(
    pages: AppTest, write: Write, known: str
) -> None:
    write(120, model_version=known)
    visit(pages)
    assert "the most recent 120 live predictions" in shown(pages)
    pages.get_by_key("newest").set_value("50").run()
    assert "the most recent 50 live predictions" in shown(pages)


def test_global_feature_importance_is_offered_as_csv_and_json(
    pages: AppTest, write: Write, known: str
) -> None:
    write(1, model_version=known)
    visit(pages)
    offered = {button.label for button in pages.download_button}
    assert offered == {"Logged (CSV)", "Logged (JSON)"}


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize("role", ["clinician", "reviewer", "admin"])
def test_single_predictions_are_only_for_who_may_see_the_log(
    pages: AppTest, write: Write, known: str, role: str
) -> None:
    (id_,) = write(1, model_version=known)
    log_in(pages, role)
    visit(pages)
    may = role != "reviewer"
    assert any(id_ in str(table.value) for table in pages.table) == may
    assert bool(pages.text_input) == may
