"""The scorecard model: load it, score patients, explain each score.

`load(path) -> Model` and `Model.score(frame) -> Scores` are what scripts and notebooks need.
"""

from pipeline.model.scorecard import (
    CHECKSUMS_FILE,
    EVIDENCE_FILE,
    FORMAT,
    SCORECARD_FILE,
    VERSION_LENGTH,
    Model,
    ModelError,
    checksums,
    from_json,
    load,
)

__all__ = [
    "CHECKSUMS_FILE",
    "EVIDENCE_FILE",
    "FORMAT",
    "SCORECARD_FILE",
    "VERSION_LENGTH",
    "Model",
    "ModelError",
    "checksums",
    "from_json",
    "load",
]
