"""The textbook: FastAPI `def`, a scikit-learn pipeline on a DataFrame of one row, no log."""

from __future__ import annotations

import numpy as np
import pandas as pd
from fastapi import FastAPI
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from perf.baselines.patient import Patient, Risk
from pipeline.codings import Coding, encode
from pipeline.data import HEART_CSV, read
from pipeline.schema import FEATURES, Kind

WORDS = [f.name for f in FEATURES if f.kind in (Kind.CATEGORY, Kind.BOOLEAN)]
NUMBERS = [f.name for f in FEATURES if f.name not in WORDS]


def trained() -> Pipeline:
    """Fit the usual pipeline on Cleveland in words: impute, scale, one-hot, logistic regression."""
    patients = read(HEART_CSV, Coding.UCI)
    codes = np.asarray(patients.features, dtype=float)
    table = pd.DataFrame(
        {
            f.name: [encode(f, None if np.isnan(x) else x, Coding.LABELS) for x in column]
            for f, column in zip(FEATURES, codes.T, strict=True)
        }
    )
    columns = make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), NUMBERS),
        (OneHotEncoder(handle_unknown="ignore"), WORDS),
    )
    model = make_pipeline(columns, LogisticRegression(max_iter=1000))
    return model.fit(table, patients.disease)


app = FastAPI()
model = trained()


@app.post("/predict")
def predict(patient: Patient) -> Risk:
    """Put one patient into a frame and predict."""
    row = pd.DataFrame([patient.model_dump()])
    probability = model.predict_proba(row)[0, 1]
    return Risk(prediction=int(probability >= 0.5), probability=probability)
