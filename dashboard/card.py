"""Write the model card as one HTML file: `cardiowatch card`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from dashboard.pages.model_card.document import render_html
from dashboard.pages.model_card.sections import build_card
from errors import naming
from pipeline.model import EVIDENCE_FILE, ModelError, load
from pipeline.model.reference import Population
from pipeline.training.reference import load_reference
from settings import load_settings


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
    try:
        of = load_reference(folder, model).population
    except ModelError:  # of the first edition
        of = Population.of_evidence(evidence)
    return render_html(build_card(found, of))


@click.command("card")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option(
    "--model-dir", type=click.Path(path_type=Path), help="Default: CARDIOWATCH_MODEL_DIR."
)
def command(file: Path | None, model_dir: Path | None) -> None:
    """Write the model card as one page of HTML: to FILE, or to standard output."""
    settings = load_settings()
    page = render_from_folder(model_dir or settings.model_dir, settings.threshold)
    if file:
        with naming(file):
            file.write_text(page, encoding="utf-8")
    else:
        print(page, end="")
