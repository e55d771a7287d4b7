"""The scorecard model: load it, score patients, explain each score.

`load(path) -> Model` and `Model.score(frame) -> Scores` are what scripts and notebooks need.
"""

from pipeline.model.scorecard import (
    EVIDENCE,
    FORMAT,
    SCORECARD,
    SUMS,
    VERSION_LENGTH,
    Model,
    ModelError,
    checksums,
    from_json,
    load,
)

__all__ = [
    "EVIDENCE",
    "FORMAT",
    "SCORECARD",
    "SUMS",
    "VERSION_LENGTH",
    "Model",
    "ModelError",
    "checksums",
    "from_json",
    "load",
]
