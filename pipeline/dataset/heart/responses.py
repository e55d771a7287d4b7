"""Coded lists for what a clinician made of an estimate; a code is never renamed or removed."""

from __future__ import annotations

from collections.abc import Mapping

REASONS: Mapping[str, str] = {
    "other-findings": "Findings that the model does not use",
    "doubtful-finding": "A finding is doubtful or out of date",
    "unlike-training": "Patient unlike those of the training data",
    "clinical-judgement": "Clinical judgement",
    "other": "Another reason",
}
"""Why a clinician agrees with an estimate or overrides it."""

ACTIONS: Mapping[str, str] = {
    "none": "No further test",
    "follow-up": "Follow-up visit",
    "non-invasive-test": "Non-invasive test",
    "angiography": "Coronary angiography",
    "treatment": "Treatment",
    "other": "Another step",
}
"""The next step."""
