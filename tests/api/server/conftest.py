from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api.server.toy import serving


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The port of a toy application, served once for a file of tests."""
    with serving() as port:
        yield port
