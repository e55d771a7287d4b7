"""How many connections a process keeps: files for all of them, and room for who comes next."""

from __future__ import annotations

import resource

MOST = 4096
"""Connections at once; one that has its answer and is kept takes some 30 KB."""

_OTHERS = 64
"""Files of the log, the database and the program itself."""


def allow_files() -> None:
    """Raise the limit of open files, as far as this process may, to what `MOST` needs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, MOST + _OTHERS)), hard))


def most() -> int:
    """Return how many connections the limit of open files leaves room for."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return max(_OTHERS, min(MOST, files - _OTHERS))
