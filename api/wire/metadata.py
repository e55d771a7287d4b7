"""What the service says about itself: the features and the model."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pipeline.dataset.heart import Coding, decoder
from pipeline.model import Model
from pipeline.model.reference import Population
from pipeline.schema import FEATURES, TARGET, Feature


def _feature(feature: Feature) -> dict[str, Any]:
    return {
        "name": feature.name,
        "label": feature.label,
        "unit": feature.unit or None,
        "kind": feature.kind,
        "help": feature.help or None,
        "required": feature.required,
        "plausible": [feature.low, feature.high] if feature.is_numeric else None,
        "usual": [feature.usual_low, feature.usual_high] if feature.is_numeric else None,
        "codings": {
            coding: [{"send": wire, "uci": code} for wire, code in table.items()]
            for coding in Coding
            if (table := decoder(feature, coding)) is not None
        },
    }


def feature_metadata() -> dict[str, Any]:
    """Return the features with labels, units, limits and codes."""
    return {"target": TARGET, "features": [_feature(feature) for feature in FEATURES]}


def model_metadata(
    model: Model, evidence: dict[str, Any], population: Population, threshold: float
) -> dict[str, Any]:
    """Return version, threshold, meaning and evidence of the model in use."""
    return {
        "version": model.version,
        "threshold": threshold,
        "meaning": f"probability of {TARGET} for patients like those that the model was trained "
        "on (`population`); not a diagnosis",
        "population": {"statement": population.statement(), **asdict(population)},
        "training": model.provenance,
        "scale": "log-odds",
        "base_value": model.base_value,
        "evidence": evidence,
    }
