"""May newly labelled patients enter training? `python -m pipeline.gate NEW.csv`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from threadpoolctl import threadpool_limits

from pipeline.dataset.heart.cli_arguments import add_file_argument, coding_argument
from pipeline.dataset.heart.csv_reader import HEART_CSV, DataError, read_patients
from pipeline.gate.check import check_batch, load_trusted
from pipeline.gate.result import GateResult, report
from pipeline.model import ModelError, load
from settings import SettingsError, load_settings

EXIT_MAY_ENTER, EXIT_REFUSED, EXIT_UNREADABLE, EXIT_NOT_JUDGED = 0, 1, 2, 3
"""As `pipeline.audit`: 1 = the labels, 2 = the file (or wrong usage), 3 = no check was possible."""


def exit_code(found: GateResult) -> int:
    """Return 0 = accepted, 1 = rejected, 3 = could not be checked."""
    return {True: EXIT_MAY_ENTER, False: EXIT_REFUSED, None: EXIT_NOT_JUDGED}[found.accept]


def main() -> int:
    """Check one file from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.gate",
        description="May newly labelled patients enter training?",
        epilog="exit code: 0 = accepted, 1 = rejected, 2 = the file cannot be read (or wrong "
        "usage), 3 = could not be checked (no model, no label, or the file fails the audit)",
    )
    add_file_argument(parser, "CSV of new patients with a label")
    parser.add_argument(
        "--trusted", type=Path, default=HEART_CSV, help="the training data of the model"
    )
    arguments = parser.parse_args()
    try:
        patients = read_patients(arguments.file, coding_argument(arguments))
        with threadpool_limits(1):
            model = load(load_settings().model_dir)
            found = check_batch(
                patients, arguments.file.name, model, load_trusted(model, arguments.trusted)
            )
    except DataError as error:
        print(f"gate: {error}", file=sys.stderr)
        return EXIT_UNREADABLE
    except (ModelError, SettingsError) as error:
        print(f"gate: {error}", file=sys.stderr)
        return EXIT_NOT_JUDGED
    text = json.dumps(found.to_dict(), indent=2) if arguments.json else None
    print(text or report(arguments.file.name, found))
    return exit_code(found)


if __name__ == "__main__":
    sys.exit(main())
