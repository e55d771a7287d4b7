"""The study project's style: FastAPI `def`, a model on one array of codes, no log."""

from __future__ import annotations

import numpy as np
from fastapi import FastAPI

from perf.baselines.models import array_model, encode_codes
from perf.baselines.schemas import Patient, Risk

app = FastAPI()
model = array_model()


@app.post("/predict")
def predict(patient: Patient) -> Risk:
    """Encode and predict one patient."""
    codes = encode_codes(patient.model_dump())
    probability = model.predict_proba(np.array([codes]))[0, 1]
    return Risk(prediction=int(probability >= 0.5), probability=probability)
