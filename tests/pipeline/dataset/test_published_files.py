"""Files as people publish them: each kind is read rightly, or refused with what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import cardiowatch
from pipeline.audit import audit
from pipeline.dataset.heart import HEART_CSV, Coding, DataError, Patients, read_patients
from pipeline.dataset.heart.codings import KAGGLE_TO_UCI
from pipeline.dataset.heart.mapping import MappingError, load_mapping
from pipeline.dataset.heart.plausibility import implausible
from pipeline.dataset.synthetic import smoothed_bootstrap
from pipeline.schema import BY_NAME, NAMES

TO_KAGGLE = {
    name: {uci: code for code, uci in table.items()} for name, table in KAGGLE_TO_UCI.items()
}
FROM_ZERO = {
    "cp": {1: 0, 2: 1, 3: 2, 4: 3},
    "slope": {1: 0, 2: 1, 3: 2},
    "thal": {3: 0, 6: 1, 7: 2},
}


@pytest.fixture(scope="module")
def patients() -> pd.DataFrame:
    """Eighty patients of no hospital, with the relations that real ones have."""
    real = pd.read_csv(HEART_CSV).dropna().reset_index(drop=True)
    drawn = pd.DataFrame(smoothed_bootstrap(real[list(NAMES)], 80, seed=3), columns=list(NAMES))
    places = np.random.default_rng(3).integers(len(real), size=80)  # as the bootstrap draws them
    return drawn.assign(num=real["disease"].to_numpy()[places])


def recoded(frame: pd.DataFrame, codes: dict[str, dict]) -> pd.DataFrame:
    return frame.assign(**{name: frame[name].map(table) for name, table in codes.items()})


def saved(frame: pd.DataFrame, path: Path, **options: object) -> Path:
    frame.to_csv(path, index=False, **options)  # type: ignore[call-overload]
    return path


def same(found: Patients, frame: pd.DataFrame, columns: tuple[str, ...] = NAMES) -> bool:
    assert found.features is not None
    return bool(np.allclose(found.features[list(columns)], frame[list(columns)], equal_nan=True))


def test_codes_of_either_published_coding_are_accepted(
    patients: pd.DataFrame, tmp_path: Path
) -> None:
    for coding, codes in ((Coding.UCI, {}), (Coding.KAGGLE, TO_KAGGLE)):
        found = read_patients(saved(recoded(patients, codes), tmp_path / "a.csv"))
        assert found.coding is coding
        assert same(found, patients)
        assert found.warnings == ()


@pytest.mark.parametrize("columns", [["cp"], ["cp", "slope"], ["slope"], ["thal"], list(FROM_ZERO)])
def test_codes_counted_from_zero_are_not_taken_for_kaggle_codes(
    patients: pd.DataFrame, tmp_path: Path, columns: list[str]
) -> None:
    dropped = [name for name in (*FROM_ZERO, "restecg") if name not in columns]
    frame = recoded(patients, {name: FROM_ZERO[name] for name in columns}).drop(columns=dropped)
    result = audit(saved(frame, tmp_path / "a.csv"))
    [error] = result.errors
    assert result.coding is None
    assert "counted from 0: possible" in error.message
    assert "--mapping" in error.message


def test_thal_counted_from_one_is_not_taken_for_kaggle_codes(
    patients: pd.DataFrame, tmp_path: Path
) -> None:
    frame = recoded(patients, {"thal": {3: 1, 6: 2, 7: 3}}).drop(columns=["cp", "slope"])
    result = audit(saved(frame, tmp_path / "a.csv"))
    assert result.coding is None
    assert "thal would be fixed defect in" in result.errors[0].message


def test_the_mapping_that_the_refusal_begins_reads_the_file(
    patients: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = saved(recoded(patients, FROM_ZERO), tmp_path / "a.csv")
    message = audit(path).errors[0].message
    mapping = tmp_path / "m.json"
    mapping.write_text(message[message.index("{") :])
    assert same(read_patients(path, Coding.UCI, load_mapping(mapping)), patients)
    assert cardiowatch.main(["audit", str(path)]) == 3
    assert cardiowatch.main(["audit", "--mapping", str(mapping), str(path)]) == 0


def test_a_coding_that_is_named_against_the_evidence_is_used_and_contradicted(
    patients: pd.DataFrame, tmp_path: Path
) -> None:
    frame = recoded(patients, FROM_ZERO).drop(columns=["thal", "slope", "ca"])
    result = audit(saved(frame, tmp_path / "a.csv"), Coding.KAGGLE)
    assert result.coding == "kaggle"
    [warning] = [p.message for p in result.problems if "contradict" in p.message]
    assert warning.startswith("the codes contradict --coding kaggle: cp would be")


def test_a_sex_that_is_coded_the_other_way_round_is_a_warning(tmp_path: Path) -> None:
    frame = pd.read_csv(HEART_CSV)
    found = read_patients(saved(frame.assign(sex=1 - frame["sex"]), tmp_path / "a.csv"))
    assert [column for column, _ in found.warnings] == ["sex"]


PUBLISHED: dict[str, tuple[str, dict[str, dict]]] = {
    "long titles": (
        "Age,Sex,Chest pain type,BP,Cholesterol,FBS over 120,EKG results,Max HR,Exercise angina,"
        "ST depression,Slope of ST,Number of vessels fluro,Thallium,Heart Disease",
        {"num": {0: "Absence", 1: "Presence"}},
    ),
    "short titles": (
        "age,sex,cp,trtbps,chol,fbs,restecg,thalachh,exng,oldpeak,slp,caa,thall,output", {}
    ),
    "a textbook's words": (
        "Age,Sex,ChestPain,RestBP,Chol,Fbs,RestECG,MaxHR,ExAng,Oldpeak,Slope,Ca,Thal,AHD",
        {"cp": {1: "typical", 2: "nontypical", 3: "nonanginal", 4: "asymptomatic"},
         "thal": {3: "normal", 6: "fixed", 7: "reversable"}, "num": {0: "No", 1: "Yes"}},
    ),
    "words of four hospitals": (
        "age,sex,cp,trestbps,chol,fbs,restecg,thalch,exang,oldpeak,slope,ca,thal,num",
        {"sex": {0: "Female", 1: "Male"}, "fbs": {0: "FALSE", 1: "TRUE"},
         "cp": {1: "typical angina", 2: "atypical angina", 3: "non-anginal", 4: "asymptomatic"},
         "restecg": {0: "normal", 1: "st-t abnormality", 2: "lv hypertrophy"},
         "slope": {1: "upsloping", 2: "flat", 3: "downsloping"},
         "thal": {3: "normal", 6: "fixed defect", 7: "reversable defect"}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", PUBLISHED)
def test_published_titles_and_words_are_known(
    patients: pd.DataFrame, tmp_path: Path, kind: str
) -> None:
    titles, words = PUBLISHED[kind]
    frame = recoded(patients, words)
    frame.columns = titles.split(",")
    found = read_patients(saved(frame, tmp_path / "a.csv"))
    assert same(found, patients)
    assert found.disease is not None
    assert found.disease.tolist() == patients["num"].tolist()


def test_words_that_are_not_known_are_listed_with_the_start_of_a_mapping(
    patients: pd.DataFrame, tmp_path: Path
) -> None:
    words = {1: "TA", 2: "ATA", 3: "NAP", 4: "ASY"}
    path = saved(
        recoded(patients, {"cp": words, "slope": {1: "Up", 2: "Flat", 3: "Down"}}).rename(
            columns={"cp": "ChestPainType", "slope": "ST_Slope"}
        ),
        tmp_path / "a.csv",
    )
    with pytest.raises(DataError, match="line 2, column ChestPainType") as refused:
        read_patients(path)
    mapping = tmp_path / "m.json"
    mapping.write_text(str(refused.value)[str(refused.value).index("{") :])
    assert same(read_patients(path, mapping=load_mapping(mapping)), patients)


def test_one_hot_columns_are_refused_and_read_through_a_mapping(
    patients: pd.DataFrame, tmp_path: Path
) -> None:
    frame = pd.get_dummies(patients.astype({"slope": int}), columns=["slope"], dtype=int)
    path = saved(frame.drop(columns="slope_2"), tmp_path / "a.csv")
    with pytest.raises(DataError, match=r'"one_hot": {"slope": {"slope_1": "..."'):
        read_patients(path)
    mapping = tmp_path / "m.toml"
    mapping.write_text(
        '[one_hot.slope]\nslope_1 = "upsloping"\nslope_3 = "downsloping"\n"" = "flat"\n'
    )
    assert same(read_patients(path, mapping=load_mapping(mapping)), patients)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not a mapping file"),
        ('{"rows": {}}', "rows is not one of columns, values, one_hot"),
        ('{"columns": {"a": "b"}}', "b is not a column"),
        ('{"values": {"cp": {"0": "..."}}}', "cp has no value '...'"),
        ('{"values": {"cp": 3}}', "not a mapping file"),
    ],
)
def test_a_wrong_mapping_is_wrong_usage(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "m.json").write_text(text)
    with pytest.raises(MappingError, match=reason):
        load_mapping(tmp_path / "m.json")
    assert MappingError.exit_code == 2


LAYOUTS: dict[str, Callable[[str], str]] = {
    "title": lambda text: f"Heart patients, ward 3\n\n{text}",
    "comment": lambda text: f"# exported 2026-03-01\n{text}",
    "sep": lambda text: "sep=;\n" + text.replace(",", ";"),
    "blanks around commas": lambda text: text.replace(",", " , "),
    "blank lines": lambda text: text.replace("\n", "\n\n"),
    "tabs and decimal commas": lambda text: text.replace(",", "\t").replace(".", ","),
    "bars": lambda text: text.replace(",", "|"),
    "a comma at the end": lambda text: text.replace("\n", ",\n"),
    "ARFF": lambda text: (
        "% heart\n@relation heart\n"
        + "".join(f"@attribute '{title}' real\n" for title in text.split("\n", 1)[0].split(","))
        + "@data\n"
        + text.split("\n", 1)[1]
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_table_is_found_in_any_usual_layout(
    patients: pd.DataFrame, tmp_path: Path, layout: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(LAYOUTS[layout](patients.to_csv(index=False)))
    assert same(read_patients(path), patients)


def test_a_bad_cell_is_named_by_its_line_in_the_file(
    patients: pd.DataFrame, tmp_path: Path
) -> None:
    lines = patients.to_csv(index=False).splitlines()
    lines[2] = lines[2].replace(",", ",x", 1)
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["a title", "", lines[0], "", *lines[1:]]))
    with pytest.raises(DataError, match="line 6, column sex"):  # title, blank, header, blank, row
        read_patients(path)


@pytest.mark.parametrize("mark", [".", "-", "NA", "unknown", "#N/A", "999", "-99", "<NA>"])
def test_marks_of_missing_values_are_known(
    patients: pd.DataFrame, tmp_path: Path, mark: str
) -> None:
    frame = patients.astype({"chol": object})
    frame.loc[[0, 5, 9], "chol"] = mark
    found = read_patients(saved(frame, tmp_path / "a.csv"))
    assert found.features is not None
    assert np.flatnonzero(found.features["chol"].isna()).tolist() == [0, 5, 9]


def test_an_age_of_99_is_an_age(patients: pd.DataFrame, tmp_path: Path) -> None:
    found = read_patients(saved(patients.assign(age=99), tmp_path / "a.csv"))
    assert found.raw["age"].tolist() == [99] * 80


@pytest.mark.parametrize(
    "words",
    [{0: "absent", 1: "present"}, {0: "negative", 1: "positive"}, {0: "healthy", 1: "sick"},
     {0: "No disease", 1: "Disease"}, {0: 1, 1: 2}],
)  # fmt: skip
def test_labels_in_words_or_as_1_and_2_are_known(
    patients: pd.DataFrame, tmp_path: Path, words: dict
) -> None:
    result = audit(saved(recoded(patients, {"num": words}), tmp_path / "a.csv"))
    assert result.errors == ()
    assert (result.n_disease, result.label_inverted) == (int(patients["num"].sum()), False)


def test_a_label_of_1_and_2_the_other_way_round_is_inverted(
    patients: pd.DataFrame, tmp_path: Path
) -> None:
    result = audit(saved(recoded(patients, {"num": {0: 2, 1: 1}}), tmp_path / "a.csv"))
    assert result.label_inverted is True
    assert "num = 2 marks the healthy" in result.errors[0].message


def test_one_class_and_unknown_labels_are_refused(patients: pd.DataFrame, tmp_path: Path) -> None:
    [error] = audit(saved(patients.assign(num=1), tmp_path / "a.csv")).errors
    assert "every patient has the same label (disease)" in error.message
    path = saved(recoded(patients, {"num": {0: "green", 1: "red"}}), tmp_path / "b.csv")
    with pytest.raises(DataError, match="which values are disease") as refused:
        read_patients(path)
    start = json.loads(str(refused.value)[str(refused.value).index("{") :])
    assert set(start["values"]["disease"]) == {"green", "red"}


def test_two_label_columns_must_say_the_same(patients: pd.DataFrame, tmp_path: Path) -> None:
    found = read_patients(saved(patients.assign(target=patients["num"]), tmp_path / "a.csv"))
    assert found.label_name == "num"
    path = saved(patients.assign(target=1 - patients["num"]), tmp_path / "b.csv")
    with pytest.raises(DataError, match=r'num and target differ.*{"columns": {"target": ""}}'):
        read_patients(path)
    (tmp_path / "m.json").write_text('{"columns": {"target": ""}}')
    assert read_patients(path, mapping=load_mapping(tmp_path / "m.json")).label_name == "num"


def test_unused_columns_are_listed_and_near_titles_offered(
    patients: pd.DataFrame, tmp_path: Path
) -> None:
    frame = patients.rename(columns={"chol": "cholestrol_lvl", "sex": "Gender"}).assign(ward=3)
    notes = " ".join(read_patients(saved(frame, tmp_path / "a.csv")).notes)
    assert "Gender = sex" in notes
    assert "columns not used: cholestrol_lvl, ward" in notes
    assert '{"columns": {"cholestrol_lvl": "chol"}}' in notes


def test_every_word_of_the_schema_is_known(patients: pd.DataFrame, tmp_path: Path) -> None:
    words = {
        name: {code: word for word, code in BY_NAME[name].codes.items()}
        for name in NAMES
        if BY_NAME[name].codes
    }
    found = read_patients(saved(recoded(patients, words), tmp_path / "a.csv"))
    assert found.coding is Coding.LABELS
    assert same(found, patients)


def test_a_coding_is_judged_by_the_reference_that_is_given() -> None:
    patients = read_patients(HEART_CSV)
    assert patients.features is not None
    assert implausible(patients.features, patients.disease, ["cp"]) == []
    elsewhere = patients.features.assign(disease=patients.disease)
    elsewhere["cp"] = elsewhere["cp"].map({1: 4, 2: 3, 3: 2, 4: 1})
    (said,) = implausible(patients.features, patients.disease, ["cp"], elsewhere)
    assert said.startswith("cp would be asymptomatic in 49% of patients (reference 8%)")
    few = elsewhere.head(99)
    assert implausible(patients.features, patients.disease, ["cp"], few) == []


def test_a_reference_may_lack_findings() -> None:
    patients = read_patients(HEART_CSV)
    assert patients.features is not None
    reference = patients.features.assign(disease=patients.disease, thal=np.nan, oldpeak=np.nan)
    found = implausible(patients.features, patients.disease, ["cp", "thal", "slope"], reference)
    assert found == []
