"""What poisoned labels do to the model: `run`; docs/poisoning.md says how it is measured."""

from pipeline.poisoning.experiment import MAX_SEEDS, SEEDS, C, PoisoningResult, run, run_job

__all__ = ["MAX_SEEDS", "SEEDS", "C", "PoisoningResult", "run", "run_job"]
