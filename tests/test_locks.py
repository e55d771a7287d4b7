"""Every lock has hashes, and what installs from one asks for them and builds nothing."""

from __future__ import annotations

import re

import pytest

from tests.licences import SHIPPED
from tests.programs import ROOT

LOCKS = [*ROOT.glob("requirements*.txt"), *ROOT.glob("tests/*/requirements.txt")]
INSTALLERS = ("install.sh", "Dockerfile.api", "Dockerfile.dashboard")


def test_every_package_of_every_lock_has_a_hash() -> None:
    assert len(LOCKS) == 5
    for lock in LOCKS:
        text = re.sub(r"^ *#.*\n", "", lock.read_text(), flags=re.MULTILINE)
        for requirement in text.replace("\\\n", "").splitlines():
            assert re.fullmatch(
                r"[\w.-]+==[\w.]+( ; [^#]+?)?( +--hash=sha256:[0-9a-f]{64})+", requirement
            ), f"{lock}: {requirement[:80]}"


@pytest.mark.parametrize("name", INSTALLERS)
def test_installation_asks_for_hashes_and_builds_nothing(name: str) -> None:
    text = (ROOT / name).read_text().replace("\\\n", "")
    installations = re.findall(r"-m pip .*?\binstall\b[^&\n]*", text)

    assert installations
    for installation in installations:
        assert "--require-hashes" in installation
        assert re.search(r"--only-binary +:all:", installation)
        assert re.search(r"-r +\S+ *$", installation), "nothing beside the lock"


def test_the_sbom_lists_what_is_shipped() -> None:
    assert f"\nSHIPPED := {' '.join(SHIPPED)}\n" in (ROOT / "Makefile").read_text()
