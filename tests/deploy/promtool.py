"""Prometheus's own checker of rules, installed or as tests/parts.sh unpacks it."""

from __future__ import annotations

import shutil

import pytest

from tests.programs import ROOT

PROMTOOL = shutil.which("promtool") or shutil.which(
    "promtool", path=ROOT / "var" / "promtool" / "usr" / "bin"
)
needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="needs promtool: tests/parts.sh fetches it on Debian"
)
