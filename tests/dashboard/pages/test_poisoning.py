from __future__ import annotations

import time

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.pages.poisoning import charts, texts
from dashboard.shared.findings import in_a_sentence
from dashboard.shared.texts import JOB_CANCELLED
from pipeline.poisoning.attacks import ATTACKS
from pipeline.poisoning.defences import DEFENCES
from pipeline.poisoning.metrics import METRICS, ExperimentCell, SeedInterval
from tests.dashboard.conftest import shown

pytestmark = pytest.mark.slow

NB = "\u00a0"
LONG = 120.0  # seconds within which even a loaded machine runs five draws


def opened(dashboard: AppTest) -> AppTest:
    page = dashboard.run().switch_page("poisoning/page.py").run()
    assert not page.exception
    return page


def run(page: AppTest) -> None:
    next(b for b in page.button if b.label == "Run").click().run()


def rests_on(page: AppTest) -> str:
    """Return what the page says its figures rest on, without the marks that keep it as it is."""
    return page.caption[0].value.replace("\\", "")


def ended(page: AppTest) -> None:
    job = page.session_state["poisoning_job"]
    assert job.wait(LONG)
    page.run()
    assert not page.exception


def test_without_the_service_the_page_says_where_the_figures_would_come_from(
    pages: AppTest,
) -> None:
    page = opened(pages)
    assert texts.NOTHING_TITLE in shown(page)
    assert not page.table


def test_the_page_begins_with_what_one_wrong_label_in_five_does(served: AppTest) -> None:
    page = opened(served)
    assert page.title[0].value.startswith(f"20{NB}% random label flips take the AUC")
    assert "computed at training: 303 patients of heart.csv, 3 seeds" in rests_on(page)
    numbers, study, _ = (table.value for table in page.table)
    assert study["Training labels"].tolist() == list(texts.STUDY_ROWS)
    assert list(numbers.columns) == ["Poisoned share", *texts.DEFENCES.values()]
    assert len(numbers) == 6  # no poison and five doses


@pytest.mark.parametrize("attack", list(ATTACKS))
def test_every_attack_is_explained_and_shown_with_every_measure(
    served: AppTest, attack: str
) -> None:
    page = opened(served)
    page.get_by_key("attack").set_value(attack)
    for measure in ("group recall", "found"):
        page.get_by_key("measure").set_value(measure).run()
        assert not page.exception
        assert texts.ATTACKS[attack][1] in shown(page)
        title, note = texts.MEASURES[measure]
        assert f"{title}: {in_a_sentence(note)}" in shown(page)


def test_a_run_of_ones_own_replaces_the_figures_until_they_are_wanted_back(served: AppTest) -> None:
    page = opened(served)
    page.get_by_key("seeds").set_value(5)
    page.get_by_key("group").set_value("male")
    run(page)
    ended(page)
    assert "your run: 303 patients of heart.csv, 5 seeds" in rests_on(page)
    assert "attacked group: male" in rests_on(page)
    next(b for b in page.button if "computed at training" in b.label).click().run()
    assert "computed at training" in rests_on(page)


def test_a_run_can_be_cancelled(served: AppTest) -> None:
    page = opened(served)
    page.get_by_key("seeds").set_value(100)
    run(page)
    job = page.session_state["poisoning_job"]
    deadline = time.monotonic() + LONG
    while not job.progress:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    page.run()
    next(b for b in page.button if b.label == "Cancel").click().run()
    ended(page)
    assert JOB_CANCELLED in shown(page)
    assert "computed at training" in rests_on(page)


def test_the_texts_name_everything_that_can_be_chosen() -> None:
    assert set(texts.ATTACKS) == set(ATTACKS)
    assert set(texts.DEFENCES) == set(DEFENCES)
    assert set(texts.MEASURES) == set(METRICS)


@pytest.mark.parametrize(
    ("measure", "said"), [("recall", f"50{NB}% (40–60)"), ("auc", "0.50 (0.40–0.60)")]
)
def test_a_measure_is_written_with_its_band(measure: str, said: str) -> None:
    assert texts.format_band(measure, SeedInterval(0.5, 0.4, 0.6)) == said
    assert texts.format_band(measure, None) == "–"


def test_a_curve_leaves_out_what_is_not_defined() -> None:
    bands: dict[str, SeedInterval | None] = dict.fromkeys(METRICS)
    cells = [
        ExperimentCell(
            "a", 0.0, 0.0, "no defence", bands | {"precision": SeedInterval(0.9, 0.8, 1.0)}
        ),
        ExperimentCell("a", 0.4, 0.4, "no defence", bands),
    ]
    band, line = charts.curves(cells, "precision", ["no defence"]).data
    assert list(line.x) == [0.0]
    assert list(band.y) == [1.0, 0.8]
    assert not charts.curves(cells, "found", ["no defence"]).data
