"""What the images are made of is enough for the commands that they run."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.programs import ROOT


def copied(dockerfile: str, folder: Path) -> None:
    """Copy what an image copies from this repository."""
    for names in re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE):
        for name in names.split():
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, folder / name, dirs_exist_ok=True)
            else:
                shutil.copy(ROOT / name, folder)


@pytest.mark.parametrize(
    ("image", "stages", "commands"),
    [
        ("api", slice(1, 2), ["train"]),
        ("api", slice(2, None), ["api", "migrate", "verify", "keys"]),
        ("dashboard", slice(1, 2), ["train"]),
        ("dashboard", slice(1, None), ["dashboard", "monitor", "train"]),
    ],
)
def test_an_image_has_what_its_commands_import(
    tmp_path: Path, image: str, stages: slice, commands: list[str]
) -> None:
    parts = (ROOT / f"Dockerfile.{image}").read_text().split("\nFROM ")
    copied("\n".join(parts[stages]), tmp_path)

    for command in commands:
        ended = subprocess.run(
            [sys.executable, "cardiowatch.py", command, "--help"],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ended.stdout.startswith(f"Usage: cardiowatch {command}"), ended.stderr


@pytest.mark.parametrize("image", ["api", "dashboard"])
def test_an_image_starts_cardiowatch(image: str) -> None:
    text = (ROOT / f"Dockerfile.{image}").read_text()

    assert text.endswith(f'ENTRYPOINT ["cardiowatch"]\nCMD ["{image}"]\n')
    assert '/opt/venv/bin/python /app/cardiowatch.py "$@"' in text
