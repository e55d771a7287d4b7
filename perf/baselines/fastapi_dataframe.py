"""The textbook: FastAPI `def`, a scikit-learn pipeline on a DataFrame of one row, no log."""

from __future__ import annotations

import pandas as pd
from fastapi import FastAPI

from perf.baselines.models import pipeline
from perf.baselines.schemas import Patient, Risk

app = FastAPI()
model = pipeline()


@app.post("/predict")
def predict(patient: Patient) -> Risk:
    """Put one patient into a frame and predict."""
    row = pd.DataFrame([patient.model_dump()])
    probability = model.predict_proba(row)[0, 1]
    return Risk(prediction=int(probability >= 0.5), probability=probability)
