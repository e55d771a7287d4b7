"""The study project's style: FastAPI `def`, a model on one array of codes, no log."""

from __future__ import annotations

import numpy as np
from fastapi import FastAPI
from sklearn.linear_model import LogisticRegression

from perf.baselines.patient import Patient, Risk
from pipeline.codings import Coding, decoder
from pipeline.data import HEART_CSV, read
from pipeline.schema import FEATURES

TABLES = [decoder(feature, Coding.LABELS) for feature in FEATURES]


def trained() -> LogisticRegression:
    """Fit on Cleveland, a missing value being 0 as in the popular file."""
    patients = read(HEART_CSV, Coding.UCI)
    codes = np.nan_to_num(np.asarray(patients.features, dtype=float))
    return LogisticRegression(max_iter=10_000).fit(codes, patients.disease)


app = FastAPI()
model = trained()


@app.post("/predict")
def predict(patient: Patient) -> Risk:
    """Encode and predict one patient."""
    values = patient.model_dump().values()
    codes = [
        0 if value is None else value if table is None else table[value]
        for value, table in zip(values, TABLES, strict=True)
    ]
    probability = model.predict_proba(np.array([codes], dtype=float))[0, 1]
    return Risk(prediction=int(probability >= 0.5), probability=probability)
