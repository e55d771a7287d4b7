"""The two models of the other services, fitted on the same Cleveland patients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from pipeline.dataset.heart import HEART_CSV, Coding, decoder, encode, read_patients
from pipeline.schema import FEATURES, Kind

CATEGORICAL = [f.name for f in FEATURES if f.kind in (Kind.CATEGORY, Kind.BOOLEAN)]
NUMERIC = [f.name for f in FEATURES if f.name not in CATEGORICAL]
_TABLES = {feature.name: decoder(feature, Coding.LABELS) for feature in FEATURES}


def pipeline() -> Pipeline:
    """Fit the usual pipeline on labels: impute, scale, one-hot, logistic regression."""
    patients = read_patients(HEART_CSV, Coding.UCI)
    codes = np.asarray(patients.features, dtype=float)
    table = pd.DataFrame(
        {
            f.name: [encode(f, None if np.isnan(x) else x, Coding.LABELS) for x in column]
            for f, column in zip(FEATURES, codes.T, strict=True)
        }
    )
    columns = make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), NUMERIC),
        (OneHotEncoder(handle_unknown="ignore"), CATEGORICAL),
    )
    model = make_pipeline(columns, LogisticRegression(max_iter=1000))
    return model.fit(table, patients.disease)


def array_model() -> LogisticRegression:
    """Fit on an array of codes, with missing values as 0, as in the popular file."""
    patients = read_patients(HEART_CSV, Coding.UCI)
    codes = np.nan_to_num(np.asarray(patients.features, dtype=float))
    return LogisticRegression(max_iter=10_000).fit(codes, patients.disease)


def encode_codes(patient: Mapping[str, Any]) -> list[float]:
    """Return a patient in labels as the codes of `array_model`, shape (13,)."""
    codes = []
    for name, table in _TABLES.items():
        value = patient.get(name)
        code = value if table is None or value is None else table[value]
        codes.append(float(code or 0))
    return codes
