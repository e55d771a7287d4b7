"""A tenth of what `make soak` makes of the OpenAPI document, always the same tenth."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.hostile.fuzz import TOOL
from tests.programs import run

pytestmark = pytest.mark.slow

TENTH = ("--examples", "30", "--at-least", "2000", "--seed", "7")


def test_no_request_made_from_the_document_breaks_the_service_or_its_promises(
    model_dir: Path,
) -> None:
    if not TOOL.exists():
        reason = "no Schemathesis: make .venv-fuzz/.ready"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)

    ended = run(
        "-m", "tests.hostile.fuzz", *TENTH, "--model-dir", str(model_dir), timeout=600
    )  # fmt: skip

    assert ended.returncode == 0, ended.stdout[-8000:] + ended.stderr
