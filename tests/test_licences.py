"""Which licences may be shipped."""

from __future__ import annotations

import pytest

from tests.licences import SHIPPED, main, names, verdict


@pytest.mark.parametrize(
    "said",
    ["MIT", "BSD-3-Clause", "Apache-2.0 OR BSD-2-Clause", "LGPL-3.0-only", "PSF-2.0", "ISC License",
     "Mozilla Public License 2.0 (MPL 2.0)", "GPL-2.0-only OR MIT", "MIT-CMU",
     "GNU Lesser General Public License v3 (LGPLv3)"],
)  # fmt: skip
def test_what_may_be_shipped(said: str) -> None:
    assert verdict(said) is None


@pytest.mark.parametrize(
    "said",
    ["", "UNKNOWN", "GPL-3.0-only", "AGPL-3.0-or-later", "GNU General Public License v3 (GPLv3)",
     "MIT AND GPL-2.0-only", "BUSL-1.1", "Business Source License 1.1", "Proprietary",
     "GNU Affero General Public License v3"],
)  # fmt: skip
def test_what_must_not_be_shipped(said: str) -> None:
    assert verdict(said) is not None


def test_everything_that_is_shipped_may_be() -> None:
    assert all(len(names(lock)) > 20 for lock in SHIPPED)
    assert main() == 0
