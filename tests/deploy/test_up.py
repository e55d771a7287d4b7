"""`up.sh`: what it writes, and who may read it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.programs import ROOT


@pytest.mark.parametrize("there", ["nothing", "the folder", "the key"])
def test_the_key_of_the_log_lies_where_only_the_owner_comes(tmp_path: Path, there: str) -> None:
    shutil.copytree(ROOT / "api", tmp_path / "api")
    shutil.copy(ROOT / "errors.py", tmp_path)
    (tmp_path / "docker").symlink_to("/bin/true")
    folder = tmp_path / "var" / "private"
    if there != "nothing":
        folder.mkdir(parents=True, mode=0o755)
    if there == "the key":
        (folder / "log.key").write_text("kept")

    subprocess.run(
        [ROOT / "up.sh"], cwd=tmp_path, check=True,
        env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHON": sys.executable},
    )  # fmt: skip

    assert folder.stat().st_mode & 0o777 == 0o700
    assert ((folder / "log.key").read_text() == "kept") is (there == "the key")
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600
    # The proxy's user reads the certificate with its key, behind the same closed door.
    assert [each.name for each in (folder / "tls").iterdir()] == ["localhost.pem"]
    assert (folder / "tls").stat().st_mode & 0o777 == 0o755
    assert (folder / "tls" / "localhost.pem").stat().st_mode & 0o777 == 0o644
    assert b"PRIVATE KEY" not in (folder / "tls.crt").read_bytes()
    assert not (folder / "tls.key").exists()
