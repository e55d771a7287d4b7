"""The effect of poisoned labels on the model: `run`; see docs/poisoning.md."""

from pipeline.poisoning.experiment import MAX_SEEDS, SEEDS, C, PoisoningResult, run, run_job

__all__ = ["MAX_SEEDS", "SEEDS", "C", "PoisoningResult", "run", "run_job"]
