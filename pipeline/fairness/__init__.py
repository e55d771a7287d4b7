"""Fairness of the predictions between groups of patients: `assess`; see docs/fairness.md."""

from pipeline.fairness.disparities import assess

__all__ = ["assess"]
