"""What the programs that look at a file of patients ask for on the command line."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.dataset.heart.codings import Coding


def add_file_argument(parser: argparse.ArgumentParser, what: str) -> None:
    """Add the file, its coding and `--json`."""
    parser.add_argument("file", type=Path, help=what)
    parser.add_argument("--json", action="store_true", help="write JSON instead of words")
    codings = [Coding.UCI.value, Coding.KAGGLE.value]
    parser.add_argument("--coding", choices=codings, help="the coding, when it cannot be told")


def coding_argument(arguments: argparse.Namespace) -> Coding | None:
    """Return the coding that was named; None = detect it."""
    return Coding(arguments.coding) if arguments.coding else None
