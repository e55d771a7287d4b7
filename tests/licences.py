"""May what the locks install be shipped? `python -m tests.licences`, part of `make lint`.

Reads the licence of every package from its installed metadata. Permissive licences, MPL and LGPL
pass; GPL, AGPL and BSL may stand in the development lock alone, and so may what nobody knows.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = ("requirements-api.txt", "requirements.txt")

_FORBIDDEN = re.compile(r"\bA?GPL|Affero|(?<!Lesser )General Public|\bBSL|\bBUSL|Business Source")
_ALLOWED = re.compile(
    r"MIT|BSD|Apache|ISC|PSF|Python Software|MPL|Mozilla|LGPL|Lesser General|Zlib|CC0|HPND"
)
_ELSEWHERE = frozenset({"colorama", "pywin32", "tzdata"})
"""Installed on other systems only; BSD, PSF and Apache."""


def names(lock: str) -> list[str]:
    """Return the names of the packages in a lock."""
    return re.findall(r"^([A-Za-z0-9_.-]+)==", (ROOT / lock).read_text(), re.MULTILINE)


def licence(found: Distribution) -> str:
    """Return what a package says of its licence, the most exact first."""
    metadata = found.metadata
    classifiers = [
        text.rpartition(" :: ")[2]
        for text in metadata.get_all("Classifier") or []
        if text.startswith("License ::")
    ]
    said = metadata.get("License-Expression") or "; ".join(classifiers)
    return said or (metadata.get("License") or "").strip().partition("\n")[0]


def verdict(said: str) -> str | None:
    """Say what is wrong with a licence; None = nothing. Of two that may be chosen one is enough."""
    choices = said.split(" OR ")
    if any(_ALLOWED.search(choice) and not _FORBIDDEN.search(choice) for choice in choices):
        return None
    return f"{said or 'no licence'} must not be shipped"


def main() -> int:
    """Check the shipped locks; return 0 when everything in them may be shipped."""
    wrong = []
    for name in sorted({name for lock in SHIPPED for name in names(lock)} - _ELSEWHERE):
        try:
            found = verdict(licence(distribution(name)))
        except PackageNotFoundError:
            found = "is not installed, so its licence is not known"
        if found:
            wrong.append(f"{name}: {found}")
    print("\n".join(wrong), end="\n" if wrong else "", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
