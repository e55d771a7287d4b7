"""Which licences may be shipped."""

from __future__ import annotations

from importlib.metadata import PathDistribution, version
from pathlib import Path

import pytest

from tests.licences import SHIPPED, allowed, check, licences, main, verdict, versions


@pytest.mark.parametrize(
    "said",
    ["MIT", "mit", "BSD-3-Clause", "Apache-2.0 OR BSD-2-Clause", "LGPL-3.0-only", "PSF-2.0",
     "ISC License", "Mozilla Public License 2.0 (MPL 2.0)", "GPL-2.0-only OR MIT", "MIT-CMU",
     "GNU Lesser General Public License v3 (LGPLv3)", "MIT AND (GPL-3.0-only OR (ISC AND Zlib))",
     "BSD-2-Clause AND Apache-2.0 WITH LLVM-exception"],
)  # fmt: skip
def test_what_may_be_shipped(said: str) -> None:
    assert allowed(said)


@pytest.mark.parametrize(
    "said",
    ["", "UNKNOWN", "GPL-3.0-only", "AGPL-3.0-or-later", "GNU General Public License v3 (GPLv3)",
     "MIT AND GPL-2.0-only", "BUSL-1.1", "Business Source License 1.1", "Proprietary",
     "GNU Affero General Public License v3", "(MIT OR Apache-2.0) AND GPL-3.0-only",
     "MIT AND gpl-3.0-only", "MIT AND SSPL-1.0", "Apache-2.0 AND Elastic-2.0",
     "Apache-2.0 AND LicenseRef-Commons-Clause", "MIT AND CC-BY-NC-4.0",
     "LIMITED EVALUATION LICENSE", "NO COPYING PERMITTED", "MIT (not for sale)", "MIT) OR (MIT",
     "(MIT", "MIT AND"],
)  # fmt: skip
def test_what_must_not_be_shipped(said: str) -> None:
    assert not allowed(said)


@pytest.mark.parametrize(
    ("metadata", "shipped"),
    [
        ("License-Expression: MIT", True),
        ("Classifier: License :: OSI Approved :: MIT License", True),
        ("Classifier: License :: OSI Approved :: MIT License\nLicense: AGPL-3.0", False),
        ("Classifier: License :: OSI Approved :: MIT License\nLicense: Copyright A. Nyone", True),
        ("License: Copyright A. Nyone", False),
        ("", False),
    ],
)
def test_all_that_a_package_says_counts(tmp_path: Path, metadata: str, shipped: bool) -> None:
    (tmp_path / "METADATA").write_text(f"Metadata-Version: 2.1\nName: a\n{metadata}\n")

    assert (verdict(licences(PathDistribution(tmp_path))) is None) is shipped


def test_another_version_than_the_lock_names_is_not_taken_for_it() -> None:
    assert check("fastapi", {version("fastapi"), "0.1"}) is None
    assert "is installed, not 0.1" in (check("fastapi", {"0.1"}) or "")


def test_everything_that_is_shipped_may_be() -> None:
    assert all(len(versions(lock)) > 20 for lock in SHIPPED)
    assert main() == 0
