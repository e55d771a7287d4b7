from __future__ import annotations

import json
import shutil
import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.pages.load_tests import charts, data, texts
from dashboard.pages.load_tests.data import SHIPPED
from dashboard.shared.escaping import escape_markdown
from db.writer.results import add_load_test
from perf.formats.kubectl import parse_hpa
from pipeline.load_tests import autoscaling as scaling
from pipeline.load_tests.autoscaling import AutoscalerSample
from pipeline.load_tests.benchmark import CARDIOWATCH, ECHO, KIND, from_dict
from tests.dashboard.benchmarks import ENVIRONMENT, benchmark, store, summary
from tests.dashboard.conftest import shown
from tests.pipeline.load_tests.test_autoscaling import WATCHED
from tests.programs import invoke


def opened(pages: AppTest) -> AppTest:
    page = pages.run().switch_page("load_tests/page.py").run()
    assert not page.exception
    return page


def test_without_a_run_the_recorded_one_is_shown_as_such(pages: AppTest) -> None:
    page = opened(pages)
    assert "predictions/s" in page.title[0].value
    recorded = [info.value for info in page.info]
    assert [said.startswith("**Recorded, not on this machine:**") for said in recorded] == [
        True
    ] * 2
    assert "`make bench`" in recorded[0]
    assert "no load was served" in recorded[1]
    assert "`cardiowatch hpa hpa.txt`" in recorded[1]


def test_what_ships_can_be_read() -> None:
    rows = {row["kind"]: row for row in json.loads(SHIPPED.read_text("utf-8"))}
    assert rows.keys() == {KIND, scaling.KIND}
    assert from_dict(rows[KIND]["summary"]).nearest(CARDIOWATCH)
    assert scaling.from_dict(rows[scaling.KIND]["summary"]).peak == 3


def test_an_own_run_takes_the_place_of_the_recorded_one(pages: AppTest, log_url: str) -> None:
    store(log_url, benchmark())
    assert [info.value for info in opened(pages).info if "make bench" in info.value] == []


def test_one_run_begins_with_what_it_showed_and_on_what(pages: AppTest, log_url: str) -> None:
    store(log_url, benchmark())
    page = opened(pages)
    assert page.title[0].value == (
        "10,000 predictions/s, 2.0 times a bare FastAPI echo, each committed before its response; "
        "p99 40\u00a0ms, no timeouts."
    )
    said = shown(page)
    assert "200 connections, median of 3 rounds of 60 s" in said
    assert "Example CPU, 2 cores, 490 fsync/s" in said
    assert "closed-loop" in said
    assert "the next `make bench` adds a point" in said
    assert "180 and 554 requests/s" in said


def test_the_number_of_connections_can_be_chosen(pages: AppTest, log_url: str) -> None:
    store(log_url, benchmark())
    page = opened(pages)
    page.get_by_key("connections_32_200_2000").set_value(2000).run()
    assert "2,000 connections, 8 threads" in shown(page)


def test_of_a_thousand_runs_the_newest_hundred_are_drawn(pages: AppTest, log_url: str) -> None:
    store(log_url, benchmark())
    path = log_url.removeprefix("sqlite:///")
    with sqlite3.connect(path) as log:
        log.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 999)"
            " INSERT INTO load_tests (id, recorded_at, kind, summary)"
            " SELECT printf('00000000-0000-7000-8000-%012d', i), recorded_at, kind, summary"
            " FROM load_tests, n"
        )
    log.close()
    page = opened(pages)
    assert len(page.get_by_key("run").options) == 100
    assert "noise cancels in the ratio" in shown(page)


def test_other_kinds_and_other_formats_are_passed_over(pages: AppTest, log_url: str) -> None:
    add_load_test(log_url, KIND, {"format": 99})
    add_load_test(log_url, "another kind", {})
    assert "Run `make bench` again" in shown(opened(pages))


def test_a_run_that_should_not_be_quoted_says_so(pages: AppTest, log_url: str) -> None:
    busy = {**ENVIRONMENT, "load": 9.5}
    store(log_url, benchmark(environment=busy, complete=False, open_loop=[]))
    said = shown(opened(pages))
    assert texts.INTERRUPTED in said
    assert texts.BUSY in said
    assert texts.NO_OPEN_LOOP in said


def test_an_interrupted_run_may_hold_one_service_only(pages: AppTest, log_url: str) -> None:
    alone = summary(
        CARDIOWATCH, 32, 100, ok_ratio=None, p99_ratio=None, cpu_us=None, cpu_ratio=None
    )
    store(log_url, benchmark(closed_loop=[alone], open_loop=[], complete=False))
    title = opened(pages).title[0].value
    assert title.startswith("100 predictions/s, each committed")


def test_a_service_that_answered_nothing_is_drawn_without_a_time(
    pages: AppTest, log_url: str
) -> None:
    silent = replace(
        summary("textbook", 200, 1), ok_per_s=0, p50_ms=0, p90_ms=0, p99_ms=0, timeouts=9, failed=9
    )
    store(log_url, benchmark(closed_loop=[summary(CARDIOWATCH, 200, 10_000), silent]))
    assert "Timeouts: textbook." in shown(opened(pages))


def test_a_missing_database_has_its_calm_screen(pages: AppTest, tmp_path: Path) -> None:
    (tmp_path / "log.db").unlink()
    assert "The log cannot be read" in shown(opened(pages))


def test_errors_are_listed_by_kind() -> None:
    of = [summary(CARDIOWATCH, 200, 10, refused=3), summary(ECHO, 200, 10, timeouts=1, failed=3)]
    assert texts.error_summary(of) == (
        f"Timeouts: {ECHO}. Other failures: {ECHO}. Rejected (503): {escape_markdown(CARDIOWATCH)}."
    )


def test_ours_is_blue_and_the_framework_orange() -> None:
    bars = charts.throughput(benchmark().at_connections(200)).data[0]
    assert list(bars.y) == [
        CARDIOWATCH, "Cardiowatch without its log", ECHO, "textbook",
        "Reported by the study project",
    ]  # fmt: skip
    assert list(bars.x) == [10_000, 15_000, 5_000, 200, 554]
    assert bars.marker.color[0] == charts.BLUE
    assert bars.marker.color[2] == charts.ORANGE


def test_what_the_study_project_reported_lacks_the_middle_mark() -> None:
    study = charts.latency_percentiles(benchmark().at_connections(200)).data[-1]
    assert list(study.x) == [324, 1020]
    assert list(study.customdata) == ["p50", "p99"]


@pytest.mark.parametrize(("lost", "said"), [(0, "all answered"), (3, "3 requests")])
def test_the_fixed_rate_says_whether_all_were_answered(lost: int, said: str) -> None:
    ((name, result), _) = benchmark().open_loop
    assert said in texts.open_loop([(name, replace(result, unanswered=lost))])


def test_a_watched_autoscaler_is_drawn_with_what_it_did(
    pages: AppTest, log_url: str, tmp_path: Path
) -> None:
    (tmp_path / "hpa.txt").write_text(WATCHED)
    kept = invoke("hpa", str(tmp_path / "hpa.txt"), database_url=log_url)
    add_load_test(log_url, scaling.KIND, {"format": 99})
    page = opened(pages)

    assert kept.returncode == 0, kept.stderr
    assert (
        "From 1 to 3 pods, 15 s after CPU exceeded its target. Scaled back to 1 pod at the end."
    ) in shown(page)
    assert {"pods", "pods_cpu"} <= {chart.key for chart in page.get("plotly_chart")}


def test_a_file_that_is_no_record_is_refused_in_one_line(log_url: str, tmp_path: Path) -> None:
    (tmp_path / "hpa.txt").write_text("nothing")
    ended = invoke("hpa", str(tmp_path / "hpa.txt"), database_url=log_url)

    assert (ended.returncode, ended.stderr.count("\n")) == (4, 1)
    assert "kubectl get hpa" in ended.stderr


def test_pods_added_one_after_the_other_have_a_time_each() -> None:
    moments = [
        AutoscalerSample(0, 200, 1),
        AutoscalerSample(20, 200, 2),
        AutoscalerSample(200, 90, 3),
    ]

    assert texts.autoscaling(replace(parse_hpa(WATCHED), moments=moments)) == (
        "From 1 to 3 pods: first pod added 20 s after CPU exceeded its target, last one 3 minutes "
        "later."
    )


def test_an_autoscaler_that_did_nothing_is_said_to_have() -> None:
    cold, hot = (
        replace(
            parse_hpa(WATCHED), moments=[AutoscalerSample(0, 10, 1), AutoscalerSample(60, cpu, 1)]
        )
        for cpu in (60, 76)
    )

    assert texts.autoscaling(cold) == "Stayed at 1 pod: CPU never exceeded its target."
    assert texts.autoscaling(hot) == "Stayed at 1 pod: CPU exceeded its target."


def test_no_cell_of_the_figures_is_a_formula(pages: AppTest, log_url: str) -> None:
    store(log_url, benchmark(closed_loop=[summary("=1+1", 200, 100)]))
    assert opened(pages).dataframe[0].value["Service"].tolist() == ["'=1+1"]


@pytest.mark.parametrize("is_there", [True, False])
def test_a_short_load_test_is_offered_where_wrk_is(
    pages: AppTest, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: "wrk" if is_there else None)
    labels = [button.label for button in opened(pages).button]
    assert ("Run a short load test" in labels) is is_there


@pytest.mark.parametrize(("option", "failed"), [("--help", False), ("--nonsense", True)])
def test_a_short_load_test_runs_in_the_background_and_tells_its_end(
    monkeypatch: pytest.MonkeyPatch, option: str, failed: bool
) -> None:
    monkeypatch.setattr(data, "_SHORT", (option,))
    run = data.ShortRun()
    assert (run.running, run.failed) == (False, False)
    run.start()
    while run.running:
        time.sleep(0.05)
    assert run.failed is failed
