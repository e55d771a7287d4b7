from __future__ import annotations

from collections.abc import Callable

from streamlit.testing.v1 import AppTest

from dashboard.pages.fairness import texts
from pipeline.fairness.result import Gap, Verdict
from tests.dashboard.conftest import shown

Write = Callable[..., list[str]]
PAGE = "fairness/page.py"


def title(page: AppTest) -> str:
    assert not page.exception
    return page.title[0].value


def logged(page: AppTest) -> AppTest:
    page.run()
    page.switch_page(PAGE).run()
    return page.get_by_key("patients").set_value("logged").run()


def test_an_empty_log_has_nothing_to_compare(pages: AppTest) -> None:
    assert title(logged(pages)) == "No predictions to compare yet."
    assert [link.value for link in pages.page_link] == ["Enter a patient"]


def test_one_patient_has_nobody_to_be_compared_with(pages: AppTest, write: Write) -> None:
    write(1)
    assert title(logged(pages)) == "No groups to compare by sex yet."
    assert "no recorded outcomes" in shown(pages)


def test_a_thousand_patients_without_outcomes_have_selection_rates_only(
    pages: AppTest, write: Write
) -> None:
    write(300, sex=0, prediction=0)
    write(700, sex=1, prediction=1)
    said = title(logged(pages))
    assert said.startswith("By sex: gap in the selection rate; inconclusive for sensitivity")
    assert "A difference need not be unfair" in shown(pages)
    assert "1,000 live predictions" in shown(pages)
    gaps = pages.table[1].value
    assert gaps["Difference"].tolist()[:2] == ["+1.000", "–"]


def test_without_the_service_the_training_patients_are_not_at_hand(pages: AppTest) -> None:
    pages.run()
    pages.switch_page(PAGE).run()
    assert "Training data unavailable" in shown(pages)


def test_the_training_patients_are_compared_by_sex_age_and_both(served: AppTest) -> None:
    served.run()
    served.switch_page(PAGE).run()
    assert "gap in the selection rate" in title(served)
    assert "303 training patients" in shown(served)
    assert "differ by 0.296," in shown(served)  # 114 of 206 men and 25 of 97 women had disease
    served.get_by_key("by").set_value("sex and age").run()
    assert "By sex and age" in title(served)
    assert "n = 1, inconclusive" in " ".join(served.table[-1].value["Female, 18-44"])


def test_another_threshold_shows_its_price(served: AppTest) -> None:
    served.run()
    served.switch_page(PAGE).run()
    assert "no prediction would change" in shown(served)
    served.get_by_key("threshold").set_value(70).run()
    assert "more false negatives" in shown(served)
    assert "never one by group" in shown(served)
    rules = next(t.value for t in served.table if "Current threshold" in t.value.columns)
    assert rules["Measure"].tolist()[:2] == ["Threshold", "Predictions changed"]
    assert rules["Current threshold"].tolist()[:4] == ["50\u00a0% for everyone", "0", "0", "0"]


def test_the_viewer_chooses_how_many_logged_patients_are_compared(
    pages: AppTest, write: Write
) -> None:
    write(120)
    assert "the newest 120 live predictions" in shown(logged(pages))
    pages.get_by_key("newest").set_value("100").run()
    assert "the newest 100 live predictions" in shown(pages)


def test_an_inconclusive_gap_whose_interval_excludes_zero_is_explained() -> None:
    def gap(metric: str, interval: tuple[float, float], verdict: Verdict, p: float) -> Gap:
        return Gap(metric, "male", "female", -0.1, interval, p / 2, p, (200, 100), 300, verdict)

    said = texts.interval_note([
        gap("accuracy", (-0.18, -0.02), Verdict.INCONCLUSIVE, 0.086),
        gap("recall", (-0.18, 0.02), Verdict.INCONCLUSIVE, 0.4),
        gap("fpr", (0.08, 0.27), Verdict.GAP, 0.005),
    ])  # fmt: skip
    assert said.startswith("Accuracy (p = 0.086): the interval excludes zero")
    assert texts.interval_note([gap("recall", (-0.18, 0.02), Verdict.INCONCLUSIVE, 0.4)]) == ""
