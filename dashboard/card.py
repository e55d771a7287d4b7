"""Write the model card as one HTML file: `python -m dashboard.card [FILE.html]`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from dashboard.pages.model_card import texts
from dashboard.pages.model_card.document import render_html
from dashboard.pages.model_card.sections import EvidenceMissing, build_card
from pipeline.model import EVIDENCE_FILE, ModelError, load
from settings import SettingsError, load_settings


def render_from_folder(folder: Path, threshold: float) -> str:
    """Return the card of the model in a folder.

    Raises
    ------
    ModelError
        When there is no model, or a byte of it was changed.
    EvidenceMissing
        When the model is too old to have all measurements of the card.
    """
    model = load(folder)
    evidence = json.loads((folder / EVIDENCE_FILE).read_text("utf-8"))
    found = {"version": model.version, "threshold": threshold, "evidence": evidence}
    return render_html(build_card(found))


def main() -> int:
    """Write one file, or to standard output."""
    parser = argparse.ArgumentParser(
        prog="python -m dashboard.card", description="Write the model card as one HTML file."
    )
    parser.add_argument("file", type=Path, nargs="?", help="output file (default: standard output)")
    parser.add_argument(
        "--model-dir", type=Path, help="model directory (default: CARDIOWATCH_MODEL_DIR)"
    )
    arguments = parser.parse_args()
    try:
        settings = load_settings()
        page = render_from_folder(arguments.model_dir or settings.model_dir, settings.threshold)
        if arguments.file:
            arguments.file.write_text(page, encoding="utf-8")
        else:
            print(page, end="")
    except EvidenceMissing:
        print(f"card: {texts.INCOMPLETE}", file=sys.stderr)
        return 1
    except (ModelError, SettingsError, OSError) as error:
        print(f"card: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
