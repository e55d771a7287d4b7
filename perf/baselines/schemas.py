"""The patient as FastAPI services usually declare it: a pydantic model."""

from __future__ import annotations

from pydantic import BaseModel


class Patient(BaseModel):
    """Thirteen findings as labels and numbers, without limits."""

    age: float
    sex: str
    cp: str | None = None
    trestbps: float | None = None
    chol: float | None = None
    fbs: bool | None = None
    restecg: str | None = None
    thalach: float | None = None
    exang: bool | None = None
    oldpeak: float | None = None
    slope: str | None = None
    ca: float | None = None
    thal: str | None = None


class Risk(BaseModel):
    """The answer: 1 = disease."""

    prediction: int
    probability: float
