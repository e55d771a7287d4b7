"""All processes of a service are found, measured and ended."""

from __future__ import annotations

import os
import sys
import time

import pytest

from perf.load.server_process import Server

WITH_A_CHILD = """
import http.server, subprocess, sys
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
class Healthy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.HTTPServer(("127.0.0.1", {port}), Healthy).serve_forever()
"""


def lives(process: int) -> bool:
    try:
        with open(f"/proc/{process}/stat") as stat:  # noqa: PTH123
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_child_is_counted_and_ended() -> None:
    arguments = ("-c", WITH_A_CHILD)
    with Server(arguments, health="/", on=set()) as server:
        found = server.processes()
        memory = server.memory_mb()

    assert len(found) == 2
    assert os.getpid() not in found
    assert memory is not None
    assert memory > 10  # two Pythons, MB
    deadline = time.monotonic() + 10
    while any(map(lives, found)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(lives, found))
