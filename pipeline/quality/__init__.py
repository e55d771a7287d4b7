"""Fixed rules for the values of a window: missing, impossible, constant, repeated, rejected."""

from pipeline.quality.checks import assess
from pipeline.quality.result import DataQuality

__all__ = ["DataQuality", "assess"]
