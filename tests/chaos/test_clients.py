"""The client of the fault tests: which request a row is of, and probes without an answer."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest

from tests.chaos.clients import ProbingClient, numbered_request, patient_number, request_body


@pytest.mark.parametrize("number", [0, 79, 80, 31_999, 32_000, 3_199_999])
def test_a_stored_row_tells_which_request_it_was(number: int) -> None:
    assert patient_number(json.loads(request_body(number))) == number


def test_the_measurements_count_up_from_the_lowest() -> None:
    # 80 values of thalach, then 400 of chol, then trestbps.
    assert json.loads(request_body(81))["thalach"] == 101
    assert json.loads(request_body(81))["chol"] == 151
    assert json.loads(request_body(32_000))["trestbps"] == 101


def test_a_service_that_is_gone_is_a_probe_without_an_answer() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but nobody listens
        seen = ProbingClient(taken.getsockname()[1], 1, numbered_request)

        async def go() -> None:
            probing = asyncio.create_task(seen._probe("/healthz"))
            while not seen.probes:
                await asyncio.sleep(0.01)
            probing.cancel()

        asyncio.run(go())
    assert [probe.status for probe in seen.probes] == [0]
