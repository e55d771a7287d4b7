"""A real OpenID Connect provider, and people who log in there without a browser."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from tests.dashboard.sessions import SECRET
from tests.programs import ROOT

OIDC = ROOT / "tests" / "dashboard" / "oidc"


def _or_skip(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def provider(port: int, dashboard: str, how: str = "signed") -> Iterator[str]:
    """Run a provider that knows a dashboard's address; yields its own."""
    node = shutil.which("node")
    if node is None or not (OIDC / "node_modules" / "oidc-provider").exists():
        _or_skip("no OpenID Connect provider: install npm, then run tests/parts.sh")
    assert node
    process = subprocess.Popen(
        [node, "provider.mjs", str(port), f"{dashboard}/oauth2callback", how], cwd=OIDC,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and process.poll() is None:
            try:
                httpx.get(f"{address}/.well-known/openid-configuration",
                          trust_env=False).raise_for_status()  # fmt: skip
                break
            except httpx.HTTPError:
                time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.communicate(timeout=10)


@contextmanager
def log_in(dashboard: str, name: str) -> Iterator[tuple[httpx.Client, httpx.Response]]:
    """Log in as a browser does; yields it and what it sees last."""
    asked = {"provider": "default", "exp": int(time.time()) + 60}
    token = jwt.encode({"alg": "HS256"}, asked, OctKey.import_key(SECRET))
    with httpx.Client(follow_redirects=True, trust_env=False, timeout=30) as browser:
        page = browser.get(f"{dashboard}/auth/login", params={"provider": token})
        for _ in range(2):  # the login, then that Cardiowatch may know who it is
            form = dict(re.findall(r'name="(prompt)" value="(\w+)"', page.text))
            action = re.search(r'action="([^"]+)"', page.text)
            assert action, page.text
            page = browser.post(action[1], data=form | {"login": name, "password": "anything"})
        yield browser, page
