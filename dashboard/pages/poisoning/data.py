"""The poisoning results of the training, or of the viewer's own run."""

from __future__ import annotations

import hashlib

from dashboard.shared import data_access, job_panel
from pipeline.dataset.heart.csv_reader import HEART_CSV
from pipeline.poisoning import PoisoningResult


def missing_training_file() -> str | None:
    """Return the training file of the current model when it is not the one here."""
    card = data_access.model_card()
    data = card and card["evidence"]["data"]
    if not data or data["sha256"] == hashlib.sha256(HEART_CSV.read_bytes()).hexdigest():
        return None
    return str(data["file"])


JOB = "poisoning_job"


def current_results() -> PoisoningResult | None:
    """Return the results of the viewer's own run, or those of the training."""
    card = data_access.model_card()
    known = job_panel.result(JOB) or (card and card["evidence"].get("poisoning"))
    return PoisoningResult.from_dict(known) if known else None
