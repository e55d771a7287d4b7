"""The least that FastAPI costs: it parses a patient and sends it back; no model, no log."""

from __future__ import annotations

from fastapi import FastAPI

from perf.baselines.schemas import Patient

app = FastAPI()


@app.post("/predict")
async def predict(patient: Patient) -> Patient:
    """Return the patient."""
    return patient
