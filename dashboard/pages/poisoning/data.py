"""The poisoning results of the training, or of the viewer's own run."""

from __future__ import annotations

from dashboard.shared import data_access, job_panel
from pipeline.poisoning import PoisoningResult

JOB = "poisoning_job"


def current_results() -> PoisoningResult | None:
    """Return the results of the viewer's own run, or those of the training."""
    card = data_access.model_card()
    known = job_panel.result(JOB) or (card and card["evidence"].get("poisoning"))
    return PoisoningResult.from_dict(known) if known else None
