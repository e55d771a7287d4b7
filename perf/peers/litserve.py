"""LitServe: `python -m perf.peers.litserve pipeline|array PORT`."""

from __future__ import annotations

import sys
from typing import Any

import litserve
import numpy as np
import pandas as pd

from perf.baselines.models import array_model, pipeline


class OnFrame(litserve.LitAPI):  # type: ignore[misc]
    """The pipeline on a DataFrame of one row."""

    def setup(self, device: str) -> None:
        """Fit, in the process that predicts."""
        self.model = pipeline()

    def predict(self, patient: dict[str, Any]) -> dict[str, float]:
        """Predict one patient."""
        return {"probability": float(self.model.predict_proba(pd.DataFrame([patient]))[0, 1])}


class OnArray(litserve.LitAPI):  # type: ignore[misc]
    """The array model."""

    def setup(self, device: str) -> None:
        """Fit, in the process that predicts."""
        self.model = array_model()

    def predict(self, body: dict[str, list[float]]) -> dict[str, float]:
        """Predict one array of codes."""
        return {"probability": float(self.model.predict_proba(np.array([body["values"]]))[0, 1])}


if __name__ == "__main__":
    chosen, port = sys.argv[1:]
    api = OnFrame() if chosen == "pipeline" else OnArray()
    litserve.LitServer(api, accelerator="cpu", workers_per_device=1).run(
        host="127.0.0.1", port=int(port), num_api_servers=1, log_level="warning",
        generate_client_file=False, access_log=False,
    )  # fmt: skip
