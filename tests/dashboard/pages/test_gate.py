from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.pages.poisoning import texts_gate as texts
from pipeline.dataset.heart import HEART_CSV
from pipeline.model.reference import ROWS_FILE
from tests.dashboard.conftest import shown

pytestmark = pytest.mark.slow

LONG = 120.0  # seconds within which even a loaded machine judges a file
HEADER, *PATIENTS = HEART_CSV.read_text().splitlines()


def one_beat_more(line: str) -> str:
    """Return a patient like one of the training data's, who is none of them."""
    cells = line.split(",")
    return ",".join([*cells[:7], str(int(cells[7]) + 1), *cells[8:]])


SOME = [one_beat_more(line) for line in PATIENTS[::5]]


def turned(line: str) -> str:
    """Turn the label of a line round."""
    values, label = line.rsplit(",", 1)
    return f"{values},{1 - int(label)}"


def judge(
    page: AppTest, lines: list[str], name: str = "new.csv", header: str = HEADER, mapping: str = ""
) -> str:
    """Upload a file, wait for the verdict, return what the page says."""
    page.run().switch_page("poisoning/page.py").run()
    page.file_uploader[0].upload(name, "\n".join([header, *lines]).encode(), "text/csv")
    page.text_area(key="gate_mapping").set_value(mapping)
    next(b for b in page.button if b.label == "Check file").click().run()
    assert not page.exception
    job = page.session_state["gate_job"]
    assert job.wait(LONG)
    assert job._request == "", "the file is still kept"
    page.run()
    assert not page.exception
    return shown(page) + "".join(box.value for box in page.success)


def test_clean_patients_may_enter_and_the_page_says_what_that_is_worth(served: AppTest) -> None:
    said = judge(served, SOME)
    assert r"new\.csv: accepted for training" in said
    assert "61 labels" in said
    assert "Of batches of 50 patients, " in said


def test_a_mapping_is_pasted_into_the_form(served: AppTest) -> None:
    header = HEADER.replace("age", "born before")
    mapping = '{"columns": {"born before": "age"}}'
    said = judge(served, SOME, header=header, mapping=mapping)
    assert r"new\.csv: accepted for training" in said


def test_every_third_label_turned_round_is_refused_and_the_suspicious_are_listed(
    served: AppTest,
) -> None:
    said = judge(served, [turned(x) if i % 3 == 0 else x for i, x in enumerate(SOME)])
    assert "rejected" in said
    listed = next(t.value for t in served.table if "Label" in t.value.columns)
    patients = [int(number) for number in listed["Row of the file"]]
    assert sum((number - 1) % 3 == 0 for number in patients) > len(patients) / 2


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["63,1,1"], "line 2 has 3 cells where 14 are expected"),
        ([], "the file has a header and no patients"),
        ([turned(SOME[0]), *SOME[1:3]], "3 labelled patients; at least 8 needed"),
        ([turned(line) for line in SOME], "label inverted"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_a_sentence(
    served: AppTest, lines: list[str], reason: str
) -> None:
    assert reason in judge(served, lines).replace("\\", "")


def test_without_a_file_nothing_is_judged(served: AppTest) -> None:
    served.run().switch_page("poisoning/page.py").run()
    next(b for b in served.button if b.label == "Check file").click().run()
    assert texts.NO_FILE in shown(served)
    assert "gate_job" not in served.session_state


def test_a_file_that_is_too_large_is_not_judged(served: AppTest) -> None:
    served.run().switch_page("poisoning/page.py").run()
    served.file_uploader[0].upload("new.csv", b"1" * (5 * 2**20 + 1), "text/csv")
    next(b for b in served.button if b.label == "Check file").click().run()
    assert "gate_job" not in served.session_state
    assert texts.too_large(5) in shown(served)


def test_where_the_training_patients_are_not_kept_the_page_says_so(
    served: AppTest, model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts_only = shutil.copytree(model_dir, tmp_path / "model")
    (counts_only / ROWS_FILE).unlink()
    monkeypatch.setenv("CARDIOWATCH_MODEL_DIR", str(counts_only))
    monkeypatch.setattr("pipeline.training.reference.HEART_CSV", tmp_path / "not-here.csv")
    served.run().switch_page("poisoning/page.py").run()
    assert not served.exception
    assert not served.file_uploader
    said = shown(served).replace("\\", "")
    assert "was trained without --keep-rows" in said
    assert "the losses of clean patients cannot be computed." in said
    assert "the effect of other settings cannot be computed." in said


def test_the_shares_of_refused_batches_are_those_of_the_training(served: AppTest) -> None:
    served.run().switch_page("poisoning/page.py").run()
    table = next(t.value for t in served.table if "50 patients" in t.value.columns)
    assert table["Label error"].tolist() == list(texts.LABEL_ERRORS.values())
    assert "10 batches per rate" in shown(served)
    assert table.loc[0, "50 patients"].endswith("]"), "a false alarm rate without its interval"


@pytest.mark.parametrize("logged", [0, 1, 1000], indirect=True)
def test_the_page_does_not_depend_on_what_was_logged(logged: int, served: AppTest) -> None:
    served.run().switch_page("poisoning/page.py").run()
    assert not served.exception
    assert served.title[0].value.startswith("20\u00a0% random label flips")
