"""An update under load: nobody notices, and the program that says so can say otherwise."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest
import yaml

from perf.rollout import ENDPOINT_LAG_S, MANIFEST, Pod, RolloutResult
from tests.programs import run

ROLLOUTS = 2 if "DEPLOY_TESTS" in os.environ else 1


@pytest.fixture
def haproxy() -> None:
    if shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin"):
        return
    if os.environ.get("CI") == "true":
        pytest.fail("HAProxy is missing: apt-get install haproxy")
    pytest.skip("needs HAProxy: apt-get install haproxy")


def roll(model_dir: Path, *options: str) -> tuple[int, int, str]:
    """Return the exit code, how many requests failed, and all that was said."""
    ended = run(
        "-m", "cardiowatch", "measure", "rollout", *options, model_dir=model_dir, timeout=300
    )
    said = ended.stdout + ended.stderr
    failed = re.search(r"([\d,]+) failed", ended.stdout)
    assert failed is not None, said
    return ended.returncode, int(failed[1].replace(",", "")), said


@pytest.mark.usefixtures("haproxy", "postgres_server")
def test_no_request_fails_while_an_update_is_rolled_out(model_dir: Path) -> None:
    code, failed, said = roll(model_dir, "--rollouts", str(ROLLOUTS))

    assert (code, failed) == (0, 0), said
    assert "0 acknowledged rows missing" in said


@pytest.mark.usefixtures("haproxy", "postgres_server")
def test_without_the_wait_before_sigterm_requests_fail_and_it_says_so(model_dir: Path) -> None:
    code, failed, said = roll(model_dir, "--rollouts", "1", "--pre-stop", "0")

    assert (code, failed > 0) == (1, True), said


def test_the_waits_are_those_of_the_manifest() -> None:
    pod = Pod.from_manifest(MANIFEST)
    deployed = next(
        each for each in yaml.safe_load_all(MANIFEST.read_text()) if each["kind"] == "Deployment"
    )["spec"]["template"]["spec"]

    assert deployed["containers"][0]["lifecycle"]["preStop"]["exec"]["command"] == [
        "sleep", f"{pod.pre_stop_s:g}",
    ]  # fmt: skip
    assert deployed["terminationGracePeriodSeconds"] == pod.grace_s
    assert pod.probe_path == "/readyz"
    assert pod.pre_stop_s > ENDPOINT_LAG_S


@pytest.mark.parametrize(
    ("answered", "failed", "missing", "killed", "clean"),
    [
        (9, 0, 0, 0, True),
        (0, 0, 0, 0, False),
        (9, 1, 0, 0, False),
        (9, 0, 1, 0, False),
        (9, 0, 0, 1, False),
    ],
)
def test_one_request_or_row_or_process_spoils_it(
    answered: int, failed: int, missing: int, killed: int, clean: bool
) -> None:
    outcome = RolloutResult(
        rollouts=1, answered=answered, failed=failed, missing=missing, killed=killed, longest_s=0
    )

    assert outcome.clean is clean
