"""A worker process of `dashboard.jobs`: one request on stdin, progress and a result on stdout.

Lines of JSON, so that nothing is unpickled. It runs until its function returns or stdin closes,
which means that its server is gone.
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
from typing import Any

import logs

_ALLOWED_PACKAGE = "pipeline."
"""Pages only submit pure computation."""
_NICENESS = 10  # pages and predictions go first
_MEMORY = 2**30
"""Bytes of data, twice what the largest file needs; address space is not limited."""


def _exit_with_parent(server: int) -> None:
    os.read(server, 1)  # nothing more is sent: it returns when the other end is closed
    os._exit(1)


def function(path: str) -> Callable[..., Any]:
    """Return the function that `"package.module:name"` names.

    Raises
    ------
    ValueError
        When it is not a function of `pipeline`.
    """
    module, _, name = path.partition(":")
    if not module.startswith(_ALLOWED_PACKAGE):
        raise ValueError("not a function of the pipeline")
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found


def main() -> None:
    """Run one job."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    sys.stdout = sys.stderr  # a library's prints are not results
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_exit_with_parent, args=(sys.stdin.fileno(),), daemon=True).start()
    os.nice(_NICENESS)
    with suppress(ValueError, OSError):  # a lower limit is set, or there are none
        resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))

    def send(**message: Any) -> None:
        print(json.dumps(message, allow_nan=False), file=answers, flush=True)

    try:
        call = function(request["function"])
        result = call(**request["arguments"], progress=lambda share: send(progress=share))
        send(result=result)
    except Exception as error:  # whatever it is, the page must show it
        # Not its message, which may quote a patient's value.
        send(error=f"{type(error).__name__} in {logs.stack_locations(error.__traceback__)}")


if __name__ == "__main__":
    main()
