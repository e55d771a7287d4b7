"""The command line: `cardiowatch COMMAND`, or `python -m cardiowatch COMMAND` in this folder.

A command is a Click command beside the code that it runs. It is imported when it is called, so that
`cardiowatch keys list` does not wait for scikit-learn. Here are the things that all commands share:
their names, what becomes of an error, and the exit codes (`errors`). Commands write with `print`:
`click.echo` would send UTF-8 to a terminal that asked for ASCII.
"""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import click

import logs
from errors import CardiowatchError


class Entry(NamedTuple):
    """Where a command is, and the line about it in the list of commands."""

    module: str
    help: str
    attribute: str = "command"


SECTIONS: Mapping[str, Mapping[str, Entry]] = {
    "Serve": {
        "run": Entry("run", "Start the API and the dashboard; set up what is missing."),
        "demo": Entry("demo", "Start both over sixty synthetic days that drift."),
        "api": Entry("api.__main__", "Start the API alone."),
        "dashboard": Entry("dashboard.__main__", "Start the dashboard alone."),
        "migrate": Entry("db.migrate", "Create the database, or update it to this version."),
    },
    "Model and data": {
        "train": Entry("pipeline.train", "Train the model."),
        "audit": Entry("pipeline.audit", "Check a file of patients before it is trained on."),
        "convert": Entry(
            "pipeline.dataset.heart.convert", "Convert a file of patients to the codes of the log."
        ),
        "gate": Entry("pipeline.gate.cli", "Accept or refuse a batch of new labels."),
        "poison": Entry("pipeline.poisoning.experiment", "Measure attacks and defences."),
        "card": Entry("dashboard.card", "Write the model card as one page of HTML."),
    },
    "Monitoring": {
        "monitor": Entry("pipeline.monitor", "Check the log for every completed day."),
        "alerts": Entry("pipeline.alerts", "Try the receivers of alerts."),
        "calibrate": Entry("pipeline.calibrate", "Measure the false alarms of the drift test."),
    },
    "The log": {
        "verify": Entry("db.verify", "Verify that no row was altered, removed or inserted."),
        "export": Entry("db.export", "Write the predictions, or one patient's, to a file."),
        "erase": Entry("db.erase", "Erase one patient's predictions."),
        "retention": Entry("db.retention.__main__", "Delete the rows that are past retention."),
        "repair": Entry("db.repair", "Repair what a damaged disk or a restore left behind."),
    },
    "API keys": {"keys": Entry("api.keys", "Create, list and revoke API keys.")},
    "Measure": {
        "bench": Entry("perf.bench", "Load-test the API beside the baselines."),
        "replay": Entry("perf.replay", "Send synthetic patients through the API."),
        "hpa": Entry("perf.hpa", "Record a run of the cluster's autoscaler."),
        "measure": Entry("cardiowatch", "Studies of cost and power.", "measure"),
    },
}
"""All commands, in the sections and the order in which `--help` lists them."""

STUDIES: Mapping[str, Entry] = {
    "costs": Entry("perf.costs", "What sealing and PostgreSQL cost in throughput."),
    "coverage": Entry("pipeline.fairness.coverage", "Coverage of the fairness intervals."),
    "gate-power": Entry("pipeline.gate.power", "What the gate for new labels finds."),
    "log-size": Entry("perf.log_size", "Pages and queries over a large log."),
}


@contextmanager
def _system_errors() -> Iterator[None]:
    """Make one line of what the system refused; Click would end a closed pipe with code 1."""
    try:
        yield
    except (OSError, UnicodeEncodeError) as error:
        raise CardiowatchError(_system_error(error)) from error


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def __init__(self, sections: Mapping[str, Mapping[str, Entry]], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sections = sections

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the sections."""
        return [name for entries in self.sections.values() for name in entries]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        for entries in self.sections.values():
            if cmd_name in entries:
                return self._load(cmd_name, entries[cmd_name])
        return None

    def make_context(self, *arguments: Any, **kwargs: Any) -> click.Context:
        """Read the arguments; `--help` writes here."""
        with _system_errors():
            return super().make_context(*arguments, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with _system_errors():
            return super().invoke(ctx)

    @staticmethod
    def _load(name: str, entry: Entry) -> click.Command:
        try:
            command: click.Command = getattr(importlib.import_module(entry.module), entry.attribute)
        except ModuleNotFoundError as missing:
            raise CardiowatchError(
                f"{name} needs {missing.name}, which is not installed here (images hold only what "
                "their server needs): run it where `make run` or `make test` was run"
            ) from None
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a list for each section, without importing the commands."""
        for title, entries in self.sections.items():
            with formatter.section(title):
                formatter.write_dl([(name, entry.help) for name, entry in entries.items()])


measure = LazyGroup({"Studies": STUDIES}, name="measure", help=SECTIONS["Measure"]["measure"].help)
root = LazyGroup(
    SECTIONS,
    name="cardiowatch",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="A heart-disease risk service whose every answer is logged, and its dashboard.\n\n"
    "Settings are read from the environment (docs/settings.md). Exit codes: 0 done; 1 the answer "
    "is no; 2 wrong usage; 3 not decidable from the data; 4 could not run, or could not write its "
    "output.",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit code. An error is one line on standard error."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = root.main(
            args=None if arguments is None else list(arguments),
            prog_name="cardiowatch",
            standalone_mode=False,
        )
        with _system_errors():
            sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        where = f" ({context.command_path} --help)" if context else ""
        return _fail(f"{error.format_message()}{where}", error.exit_code)
    except CardiowatchError as error:
        return _fail(str(error), error.exit_code)
    except click.Abort:  # Ctrl-C; 128 + SIGINT, as a shell says it
        return _fail("interrupted", 130)


def _terminate(*_: object) -> None:
    sys.exit(128 + signal.SIGTERM)  # unwinds, so that everything a command started is stopped


def _system_error(error: OSError | UnicodeEncodeError) -> str:
    if isinstance(error, UnicodeEncodeError):
        return (
            f"the output cannot be written in the encoding {error.encoding}: "
            "set PYTHONIOENCODING=utf-8"
        )
    if error.errno == errno.EPIPE:
        return "the output was closed before its end"
    return f"{error.strerror}{f': {error.filename}' if error.filename else ''}"


def _fail(sentence: str, code: int) -> int:
    logs.program.critical(f"cardiowatch: {sentence}")  # standard error, or a line of JSON
    try:
        sys.stdout.flush()
    except OSError:  # Python would fail once more when it ends, with a code of its own
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def deprecated(*command: str) -> int:
    """Run a command for its old form, `python -m MODULE`; goes with the next release."""
    spec = sys.modules["__main__"].__spec__
    old = spec.name.removesuffix(".__main__") if spec else sys.argv[0]
    print(f"python -m {old} is deprecated: use cardiowatch {' '.join(command)}", file=sys.stderr)
    return main([*command, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
