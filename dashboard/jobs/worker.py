"""A worker process of `dashboard.jobs`: one request on stdin, progress and a result on stdout.

Lines of JSON, so that nothing is unpickled. It runs until its function returns, or until stdin
closes: then its server is gone, however it ended.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

_PACKAGE = "pipeline."
"""Work is pure computation; a page asks for nothing else."""
_NICE = 10  # pages and predictions go first
_MEMORY = 2**30
"""Bytes of data, twice what the largest file needs; addresses alone cost nothing."""


def _watch(server: int) -> None:
    os.read(server, 1)  # nothing more is ever sent: it returns when the other end is closed
    os._exit(1)


def function(path: str) -> Callable[..., Any]:
    """Find the function that `"package.module:name"` names.

    Raises
    ------
    ValueError
        When it is not one of the pipeline's.
    """
    module, _, name = path.partition(":")
    if not module.startswith(_PACKAGE):
        raise ValueError("not a function of the pipeline")
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found


def _where(error: BaseException) -> str:
    """Name an error by type and place; its message may quote a patient's value."""
    place = error.__traceback__
    while place and place.tb_next:
        place = place.tb_next
    at = f"{Path(place.tb_frame.f_code.co_filename).name}:{place.tb_lineno}" if place else ""
    return f"{type(error).__name__} at {at}"


def main() -> None:
    """Serve one request."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    sys.stdout = sys.stderr  # what a library prints is not an answer
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_watch, args=(sys.stdin.fileno(),), daemon=True).start()
    os.nice(_NICE)
    with suppress(ValueError, OSError):  # the machine's own limit is lower, or it has none
        resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))

    def say(**what: Any) -> None:
        print(json.dumps(what, allow_nan=False), file=answers, flush=True)

    try:
        asked = function(request["function"])
        result = asked(**request["arguments"], progress=lambda share: say(progress=share))
        say(result=result)
    except Exception as error:  # whatever it is, the page must hear of it
        say(error=_where(error))


if __name__ == "__main__":
    main()
