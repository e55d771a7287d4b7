from __future__ import annotations

import asyncio
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from dashboard.pages.drift import charts, texts
from dashboard.pages.drift import history as drift_history
from dashboard.pages.drift.data import MonitoringDay
from dashboard.shared import numbers
from dashboard.shared.findings import in_a_sentence
from db.ids import new_id
from db.writer.results import MonitoringRun, add_monitoring_run, add_report
from pipeline.dataset.heart import HEART_CSV, read_patients
from pipeline.dataset.synthetic import smoothed_bootstrap
from pipeline.drift import compare
from pipeline.model import load as load_model
from pipeline.model.reference import ROWS_FILE
from pipeline.schema import BY_NAME, NAMES
from tests.dashboard.conftest import shown
from tests.db.rows import VERSION, row, running_log

Write = Callable[..., list[str]]
pytestmark = pytest.mark.slow

NOW = datetime.now(UTC)


@pytest.fixture(autouse=True)
def registered(log_url: str, model_dir: Path) -> None:
    """The log knows the model that made its predictions."""

    async def register() -> None:
        async with running_log(log_url) as log:
            await log.register_model(VERSION, load_model(model_dir).scorecard)

    asyncio.run(register())


@cache
def training() -> np.ndarray:
    features = read_patients(HEART_CSV).features
    assert features is not None
    return features.to_numpy(dtype=float)


def store(url: str, patients: np.ndarray, *, source: str = "live", ago: timedelta) -> None:
    start = int((NOW - ago).timestamp() * 1000)
    rows = []
    for i, patient in enumerate(patients):
        known = [None if math.isnan(value) else float(value) for value in patient]
        rows.append(
            row(id=new_id(start + i), source=source, **dict(zip(NAMES, known, strict=True)))
        )

    async def append() -> None:
        async with running_log(url) as log:
            await log.append(rows)

    asyncio.run(append())


def opened(pages: AppTest, **address: str) -> AppTest:
    pages.run()
    for name, value in address.items():
        pages.query_params[name] = value
    page = pages.switch_page("drift/page.py").run()
    assert not page.exception
    return page


def test_an_empty_log_leads_to_the_first_patient(pages: AppTest) -> None:
    page = opened(pages)
    assert "No predictions yet" in shown(page)
    assert not page.get("plotly_chart")


def test_one_patient_is_not_enough_and_says_so(pages: AppTest, write: Write) -> None:
    write(1)
    page = opened(pages)
    assert page.title[0].value == (
        "Inconclusive, too few data: 1 live prediction in the last 24 hours."
    )


def test_a_thousand_patients_like_those_of_the_training_have_not_drifted(
    pages: AppTest, log_url: str
) -> None:
    store(
        log_url,
        smoothed_bootstrap(read_patients(HEART_CSV).features, 1000, seed=1),
        ago=timedelta(hours=2),
    )
    page = opened(pages)
    assert page.title[0].value.startswith(
        "No drift detected in 1,000 live predictions in the last 24 hours; smallest detectable"
    )
    said = shown(page).replace("\\", "")
    assert f"Reference: training data of model {VERSION} (303 patients of the Cleveland" in said


def test_predictions_of_a_model_without_a_reference_are_not_compared(
    pages: AppTest, write: Write
) -> None:
    write(1, model_version="9" * 12)
    page = opened(pages)
    assert "The log has no scorecard of model 999999999999" in shown(page).replace("\\", "")
    page.get_by_key("reference").set_value("before").run()
    assert page.title[0].value.startswith("Inconclusive, too few data")


def test_of_two_models_the_newest_is_compared_with_its_own_training_data(
    pages: AppTest, write: Write
) -> None:
    write(2, model_version="9" * 12, ago=timedelta(hours=2))
    write(1)
    page = opened(pages)
    assert "1 live prediction in the last 24 hours" in page.title[0].value
    assert "others in this window: model 999999999999." in shown(page).replace("\\", "")


def test_without_the_training_patients_what_needs_them_says_so(
    pages: AppTest, log_url: str, model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts_only = shutil.copytree(model_dir, tmp_path / "model")
    (counts_only / ROWS_FILE).unlink()
    monkeypatch.setenv("CARDIOWATCH_MODEL_DIR", str(counts_only))
    monkeypatch.setattr("pipeline.training.reference.HEART_CSV", tmp_path / "not-here.csv")
    store(log_url, training()[:200], ago=timedelta(hours=2))
    page = opened(pages)
    assert page.title[0].value.startswith("No drift detected in 200 live predictions")
    for what in ("correlations", "the domain classifier test"):
        assert f"and {what} cannot be computed." in shown(page)
    findings = [f.value["Finding"] for f in page.dataframe if "Finding" in f.value]
    assert [each.size for each in findings] == [13]


def test_what_changed_is_named_first_and_leads_to_its_rows(pages: AppTest, log_url: str) -> None:
    changed = training().copy()
    changed[:, NAMES.index("thalach")] -= 40
    store(log_url, changed, ago=timedelta(hours=2))
    page = opened(pages)
    assert page.title[0].value.startswith(
        "Input drift detected in 303 live predictions in the last 24 hours: "
        f"{in_a_sentence(texts.label('thalach'))} ("
    )
    link = page.page_link[0]
    assert link.label == "View 303 predictions →"
    assert "source=Live" in link.proto.query_string
    assert page.get_by_key("feature").value == "thalach"


def test_a_window_can_be_compared_with_the_time_before(pages: AppTest, log_url: str) -> None:
    store(log_url, training(), ago=timedelta(hours=30))
    store(log_url, training(), ago=timedelta(hours=2))
    page = opened(pages)
    page.get_by_key("reference").set_value("before").run()
    assert not page.exception
    assert "previous window of the same length (303 predictions)" in shown(page)
    assert page.title[0].value.startswith("No drift detected")


def test_an_address_may_name_the_end_of_the_window(pages: AppTest, log_url: str) -> None:
    store(log_url, training(), ago=timedelta(days=5))
    assert "No predictions in the last 24 hours" in opened(pages).title[0].value
    page = opened(pages, until=(NOW - timedelta(days=4.5)).isoformat())
    assert "303 live predictions in the 24 hours to" in page.title[0].value
    page.button[0].click().run()
    assert "No predictions in the last 24 hours" in page.title[0].value


@pytest.mark.parametrize(
    "until", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "tomorrow"]
)
def test_an_end_that_cannot_be_reckoned_with_is_none(
    pages: AppTest, log_url: str, until: str
) -> None:
    store(log_url, training(), ago=timedelta(hours=2))
    assert "in the last 24 hours" in opened(pages, until=until).title[0].value


def keep_pass(url: str, days_ago: int, patients: np.ndarray, source: str = "replay") -> None:
    """Keep a monitoring report as `pipeline.monitor` does."""
    midnight = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
    until = midnight - timedelta(days=days_ago)
    since, result = until - timedelta(days=1), compare(training(), patients).to_dict()
    report: dict[str, Any] = {
        "source": source, "since": since.isoformat(), "until": until.isoformat(), "n_week": 303,
        "verdict": "what it said", "risk": {"week": 0.4},
        "drift": {"window": result, "week": result},
    }  # fmt: skip
    add_monitoring_run(
        url, report, MonitoringRun(source, "v", since, until, "red", "what it said"), version=1
    )


def test_the_history_says_since_when_and_leads_from_an_alarm_to_its_requests(
    pages: AppTest, log_url: str
) -> None:
    shifted = training().copy()
    shifted[:, NAMES.index("chol")] += 60
    store(log_url, shifted, source="replay", ago=timedelta(hours=2))
    for days_ago, patients in ((3, training()), (2, shifted), (1, shifted), (0, shifted)):
        keep_pass(log_url, days_ago, patients)
    add_report(
        log_url,
        {"changes": [{"title": "A change", "sentence": "It was made.", "features": ["chol"],
                      "since": NOW.isoformat(), "until": NOW.isoformat()}]},
        version=1,
        kind="replay",
    )  # fmt: skip
    page = opened(pages)
    begun = NOW.replace(hour=0, minute=0) - timedelta(days=3)
    assert f"serum cholesterol since {numbers.day(begun)} (" in page.title[0].value
    said = shown(page)
    assert "3 drift alarms in 4 days" in said
    assert "**A change**" in said
    behind = next(
        link for link in page.page_link if link.label == "View the predictions in this window →"
    )
    assert "source=Replay" in behind.proto.query_string
    assert "since=" in behind.proto.query_string


def test_a_pass_of_this_moment_is_in_the_history_and_those_of_other_sources_are_not(
    pages: AppTest, log_url: str
) -> None:
    store(log_url, training(), ago=timedelta(hours=2))
    keep_pass(log_url, 1, training(), source="replay")
    page = opened(pages)
    assert "`make monitor`" in shown(page)
    keep_pass(log_url, 0, training(), source="live")
    assert "0 drift alarms in 1 day." in shown(page.run())


def test_without_a_monitoring_pass_it_says_how_to_make_one(pages: AppTest, write: Write) -> None:
    write(1)
    assert "`make monitor`" in shown(opened(pages))


def test_the_classifier_stands_on_the_page(pages: AppTest, log_url: str) -> None:
    older = training().copy()
    older[:, NAMES.index("age")] += 20
    store(log_url, older, ago=timedelta(hours=2))

    said = shown(opened(pages))

    assert "Drift detected, most important finding: age. Cross-validated AUC 0.9" in said
    assert "p = 0.001 (999 permutations)" in said


def test_several_predictions_of_a_patient_are_said(pages: AppTest, log_url: str) -> None:
    store(log_url, np.repeat(training(), 2, axis=0), ago=timedelta(hours=2))

    assert "606 predictions of 303 patients: one of each, drawn at random" in shown(opened(pages))


def day(number: int, *named: str) -> MonitoringDay:
    start = datetime(2026, 11, number, tzinfo=UTC)
    effects = dict.fromkeys(NAMES, 0.1)
    return MonitoringDay(start, start + timedelta(days=1), 0.5, 0.001, bool(named), True, named,
                         effects, 0.4, "")  # fmt: skip


def test_a_finding_has_drifted_since_the_first_day_without_a_break() -> None:
    days = [day(1, "chol"), day(2), day(3, "chol"), day(4, "chol", "age")]
    assert drift_history.drifted_since(days) == {"chol": "3 Nov 2026", "age": "4 Nov 2026"}
    assert drift_history.drifted_since([*days, day(5)]) == {}
    assert drift_history.drifted_since([]) == {}


def test_shares_of_categories_include_missing_values() -> None:
    labels, before, now = charts.shares(BY_NAME["sex"], {0.0: 1, 1.0: 3}, {0.0: 1, 1.0: 2, None: 1})
    assert labels == ["female", "male", "missing"]
    assert (before, now) == ([0.25, 0.75, 0.0], [0.25, 0.5, 0.25])


def test_many_values_share_round_bars() -> None:
    ages = {float(age): 1 for age in range(30, 80)}
    labels, before, _ = charts.shares(BY_NAME["age"], ages, {})
    assert labels[0] == "30–34"
    assert before[0] == pytest.approx(0.1)
    assert sum(before) == pytest.approx(1)


def test_one_value_alone_is_one_bar() -> None:
    assert charts.shares(BY_NAME["age"], {50.0: 2}, {}) == (["50"], [1.0], [0.0])


def test_an_alarm_without_a_name_says_where_to_look_first() -> None:
    shuffled = training().copy()[:150]
    at = NAMES.index("thalach")
    shuffled[:, at] = np.random.default_rng(0).permutation(shuffled[:, at])
    found = replace(compare(training(), shuffled), pairs=(), look_first="thalach")

    assert found.drift
    likely = f"most likely {in_a_sentence(texts.label('thalach'))}"
    assert likely in texts.verdict(found, found.n_current, "live", "today", {})


def test_the_calibration_is_summarised_as_false_positive_rate_and_power() -> None:
    clean = [{"alarms": 0.05, "upper_95": 0.0551}, {"alarms": 0.04, "upper_95": 0.045}]
    power = [
        {"n": 100, "power": 0.2, "what": "10 % of chol in mmol/l"},
        {"n": 100, "power": 0.8, "what": "a large one"},
    ]

    said = texts.calibration({"clean": clean, "power": power}).replace("\u00a0", " ")

    assert "False positive rate at most 5.0 % (upper 95 % limit 5.5 %)." in said
    assert "Power with 100 patients: 50 % on average over 2 drift scenarios" in said
    assert "lowest 20 % (10 % of serum cholesterol in mmol/l)" in said


def test_a_change_of_risk_within_chance_is_not_significant() -> None:
    assert "no significant difference" in texts.prediction_drift(0.40, 0.42, 0.02)
    assert "10 percentage points higher" in texts.prediction_drift(0.40, 0.50, 0.02)


def test_the_alarms_of_the_timeline_are_marked_and_named() -> None:
    figure = charts.monitoring_timeline([day(1), day(2, "chol")], UTC)
    traces = {trace.name: trace for trace in figure.data}
    assert list(traces["Alarm"].x) == [datetime(2026, 11, 2)]
    assert list(traces["Drifted finding"].y) == ["Serum cholesterol"]
    assert list(traces["No drift detected"].x) == [datetime(2026, 11, 1)]


def test_a_cohort_is_compared_with_the_same_cohort_at_a_shared_level(
    pages: AppTest, log_url: str
) -> None:
    store(log_url, training(), ago=timedelta(hours=2))
    page = opened(pages)
    page.selectbox(key="sex").select("female").run()
    assert "97 live predictions in the last 24 hours" in page.title[0].value
    assert "No drift detected" in page.title[0].value  # men's values are on neither side
    assert "1 cohort in this visit, so this one is tested at a level of 5.0" in shown(page)
    page.selectbox(key="age").select("45-54").run()
    assert "2 cohorts in this visit, so this one is tested at a level of 2.5" in shown(page)
    page.selectbox(key="sex").select("All").run()
    page.selectbox(key="age").select("All").run()
    assert "303 live predictions" in page.title[0].value
    assert "tested at a level" not in shown(page)
