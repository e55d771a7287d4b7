"""BentoML: `bentoml serve perf.peers.bentoml:OnFrame` or `:OnArray`."""

from __future__ import annotations

from typing import Any

import bentoml
import numpy as np
import pandas as pd

from perf.baselines.models import array_model, pipeline


@bentoml.service(workers=1, http={"host": "127.0.0.1"}, logging={"access": {"enabled": False}})
class OnFrame:
    """The pipeline on a DataFrame of one row."""

    def __init__(self) -> None:
        self.model = pipeline()

    @bentoml.api  # type: ignore[untyped-decorator]
    def predict(self, patient: dict[str, Any]) -> dict[str, float]:
        """Predict one patient."""
        return {"probability": float(self.model.predict_proba(pd.DataFrame([patient]))[0, 1])}


@bentoml.service(workers=1, http={"host": "127.0.0.1"}, logging={"access": {"enabled": False}})
class OnArray:
    """The array model."""

    def __init__(self) -> None:
        self.model = array_model()

    @bentoml.api  # type: ignore[untyped-decorator]
    def predict(self, values: list[float]) -> dict[str, float]:
        """Predict one array of codes."""
        return {"probability": float(self.model.predict_proba(np.array([values]))[0, 1])}
