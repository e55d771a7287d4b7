"""Starts the project's programs as a user does, on ports of their own."""

from __future__ import annotations

import gc
import os
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager, redirect_stderr, redirect_stdout
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from unittest.mock import patch

import httpx

import cardiowatch

ROOT = Path(__file__).resolve().parent.parent


def free_port() -> int:
    """Return a free port."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def environment(**settings: object) -> dict[str, str]:
    """Return this environment with settings, as `database_url=...`."""
    return os.environ | {f"CARDIOWATCH_{k.upper()}": str(v) for k, v in settings.items()}


def run(
    *arguments: str, timeout: float = 60, **settings: object
) -> subprocess.CompletedProcess[str]:
    """Run a program of the project to its end."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT, env=environment(**settings), capture_output=True, text=True, timeout=timeout,
        check=False,
    )  # fmt: skip


def invoke(*arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
    """Run a command of `cardiowatch` in this process: to start one takes most of a command's time.

    Not one that sets up logging, nor where the end of the process matters.
    """
    with (
        patch.dict(os.environ, environment(**settings)),
        redirect_stdout(TextIOWrapper(BytesIO(), write_through=True)) as stdout,
        redirect_stderr(StringIO()) as stderr,
        warnings.catch_warnings(),
    ):
        code = cardiowatch.main(arguments)
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()  # a connection that the end of a process would close
    written = stdout.buffer.getvalue().decode()  # type: ignore[attr-defined]
    return subprocess.CompletedProcess(arguments, code, written, stderr.getvalue())


@contextmanager
def running(
    *arguments: str, cwd: Path = ROOT, **settings: object
) -> Iterator[subprocess.Popen[str]]:
    """Run a program of the project until the block ends."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=cwd, env=environment(**settings), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.communicate(timeout=40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()  # what it has left running may hold its output open
            raise


def wait_for(url: str, process: subprocess.Popen[str], seconds: float = 60) -> None:
    """Wait until an address answers 200; if the program exits first, fail with its output."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            output = process.communicate()[0]
            raise AssertionError(f"ended with code {process.returncode}: {output}")
        try:
            if httpx.get(url, trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"{url} did not answer within {seconds} s")
