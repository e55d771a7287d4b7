"""Do the predictions treat groups of patients alike? `assess`; docs/fairness.md says how."""

from pipeline.fairness.disparities import assess

__all__ = ["assess"]
