"""May what the locks install be shipped? `python -m tests.licences`, part of `make lint`.

Reads the licence of every package from its installed metadata, of a version that the lock names.
Listed licences pass: permissive ones, MPL and LGPL. Others may stand in the development lock alone.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = ("requirements-api.txt", "requirements.txt")

_IDENTIFIERS = (
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause",
    "CC0-1.0", "HPND", "ISC", "LGPL-2.1-only", "LGPL-2.1-or-later", "LGPL-3.0-only",
    "LGPL-3.0-or-later", "MIT", "MIT-0", "MIT-CMU", "MPL-2.0", "PSF-2.0", "Python-2.0", "Zlib",
)  # fmt: skip
"""Of SPDX."""
_NAMES = (
    "3-Clause BSD License", "Apache License 2.0", "Apache Software License", "BSD", "BSD License",
    "GNU Lesser General Public License v3 (LGPLv3)", "ISC License", "ISC License (ISCL)",
    "MIT License", "Mozilla Public License 2.0 (MPL 2.0)", "Python Software Foundation License",
)  # fmt: skip
"""In classifiers and in older metadata."""
_ALLOWED = frozenset(name.casefold() for name in (*_IDENTIFIERS, *_NAMES))
_ELSEWHERE = frozenset({"colorama", "pywin32", "setuptools", "tzdata"})
"""Locked for other systems only; BSD, PSF, MIT and Apache."""


def versions(lock: str) -> dict[str, set[str]]:
    """Return the packages in a lock; some have a version for each range of Pythons."""
    found = defaultdict(set)
    text = (ROOT / lock).read_text()
    for name, version in re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)", text, re.MULTILINE):
        found[name].add(version)
    return found


def licences(found: Distribution) -> list[str]:
    """Return the licence expression of a package, or its older metadata."""
    metadata = found.metadata
    if expression := metadata.get("License-Expression"):
        return [expression]
    classifiers = [
        text.rpartition(" :: ")[2]
        for text in metadata.get_all("Classifier") or []
        if text.startswith("License ::")
    ]
    title = (metadata.get("License") or "").strip().partition("\n")[0]
    # A whole text that begins with a copyright names no licence; then the classifiers do.
    return classifiers + [title] * bool(title and not title.startswith("Copyright"))


def allowed(said: str) -> bool:
    """Evaluate a licence expression: every term of an AND may be shipped, one choice of an OR."""
    said = said.casefold().strip()
    if said in _ALLOWED:
        return True
    inner = re.compile(r"\(([^()]*)\)")
    while inner.search(said):
        said = inner.sub(lambda group: "mit" if allowed(group[1]) else "refused", said)
    return any(
        all(term.strip() in _ALLOWED for term in choice.split(" and "))
        for choice in said.split(" or ")
    )


def verdict(said: Sequence[str]) -> str | None:
    """Return what is wrong with a package's licences; None = nothing."""
    if said and all(map(allowed, said)):
        return None
    return f"{'; '.join(said) or 'no licence'} must not be shipped"


def check(name: str, locked: set[str]) -> str | None:
    """Return why a package must not be shipped; None = it may."""
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return "is not installed, so its licence is not known"
    if found.version not in locked:
        return f"{found.version} is installed, not {' or '.join(sorted(locked))}: run make lint"
    return verdict(licences(found))


def main() -> int:
    """Check the shipped locks; return 0 if everything in them may be shipped."""
    wrong = [
        f"{name}: {found}"
        for lock in SHIPPED
        for name, locked in sorted(versions(lock).items())
        if name not in _ELSEWHERE and (found := check(name, locked))
    ]
    print("\n".join(wrong), end="\n" if wrong else "", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
