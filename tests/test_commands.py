"""The command line: every command answers --help, and an exit code means the same everywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest

import cardiowatch
from db.migrate import migrate
from tests.programs import ROOT, environment, invoke, run

pytestmark = pytest.mark.slow

DOCUMENT = ROOT / "docs/commands.md"
DEPRECATED = {
    "api.keys": ["keys"],
    "db.erase": ["erase"],
    "db.export": ["export"],
    "db.migrate": ["migrate"],
    "db.retention": ["retention"],
    "db.verify": ["verify"],
    "perf.bench": ["bench"],
    "perf.replay": ["replay"],
    "pipeline.audit": ["audit"],
    "pipeline.calibrate": ["calibrate"],
    "pipeline.monitor": ["monitor"],
    "pipeline.train": ["train"],
}
"""The forms of the first edition that may stand in somebody's cron, and what they run."""


def _commands(command: click.Command, context: click.Context) -> Iterator[click.Context]:
    yield context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert isinstance(inner, click.Command), name
            yield from _commands(inner, click.Context(inner, info_name=name, parent=context))


@cache
def _contexts() -> list[click.Context]:
    settings = {**cardiowatch.root.context_settings, "terminal_width": 90}
    root = click.Context(cardiowatch.root, info_name="cardiowatch", **settings)
    return list(_commands(cardiowatch.root, root))


def _document() -> str:
    parts = [
        f"{'#' * min(context.command_path.count(' ') + 2, 3)} {context.command_path}\n\n"
        f"```\n{context.get_help()}\n```\n"
        for context in _contexts()
    ]
    return (
        "# Commands\n\nWritten by `COMMANDS=write pytest tests/test_commands.py`; a test fails "
        "when it is old.\n\n" + "\n".join(parts)
    )


def test_the_document_is_what_help_says() -> None:
    if os.environ.get("COMMANDS") == "write":
        DOCUMENT.write_text(_document())

    assert DOCUMENT.read_text() == _document()


@pytest.mark.parametrize("path", [context.command_path for context in _contexts()])
def test_a_command_describes_itself_and_its_options(path: str) -> None:
    context = next(c for c in _contexts() if c.command_path == path)

    assert context.command.help
    for parameter in context.command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


@pytest.mark.parametrize("arguments", [["nosuch"], ["monitor", "--nosuch"], ["keys", "revoke"]])
def test_wrong_usage_is_one_line_and_code_2(arguments: list[str]) -> None:
    ended = invoke(*arguments)

    assert (ended.returncode, ended.stdout, len(ended.stderr.splitlines())) == (2, "", 1)
    assert "--help" in ended.stderr


def test_a_setting_that_cannot_be_used_is_one_line_and_code_4() -> None:
    ended = run("-m", "cardiowatch", "monitor", threshold="high")

    assert (ended.returncode, ended.stdout, len(ended.stderr.splitlines())) == (4, "", 1)
    assert "CARDIOWATCH_THRESHOLD" in ended.stderr


def test_a_full_disk_is_one_line_and_code_4_in_every_command() -> None:
    code = (
        "import sys, cardiowatch\n"
        "for name in sys.argv[1:]:\n"
        "    sys.stdout = open('/dev/full', 'w')\n"
        "    code = cardiowatch.main([*name.split()[1:], '--help'])\n"
        "    print(code, name, file=sys.stderr)\n"
    )
    names = [context.command_path for context in _contexts()]

    ended = run("-c", code, *names)

    said = ended.stderr.splitlines()
    assert said[::2] == ["cardiowatch: No space left on device"] * len(names)
    assert said[1::2] == [f"4 {name}" for name in names]


def test_a_full_disk_is_named_by_the_file(tmp_path: Path, model_dir: Path) -> None:
    (tmp_path / "log.csv.part").symlink_to("/dev/full")
    url = f"sqlite:///{tmp_path}/log.db"
    migrate(url, lambda _: None)
    for arguments, file in (
        (["card", "/dev/full"], "/dev/full"),
        (["export", "--output", f"{tmp_path}/log.csv"], f"{tmp_path}/log.csv.part"),
    ):
        ended = run("-m", "cardiowatch", *arguments, database_url=url, model_dir=model_dir)

        assert ended.returncode == 4
        assert ended.stderr == f"cardiowatch: No space left on device: {file}\n"


def test_ctrl_c_is_one_line_and_code_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("db.migrate.migrate", interrupted)

    assert cardiowatch.main(["migrate"]) == 130
    assert capsys.readouterr().err.strip() == "cardiowatch: interrupted"


def _keys_in_greek(folder: str) -> dict[str, str]:
    keys_file = f"{folder}/keys.json"
    invoke("keys", "create", "--name", "Ω", "--roles", "read", keys_file=keys_file)
    return environment(keys_file=keys_file)


def test_a_closed_pipe_is_one_line_and_code_4(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    ended = subprocess.run(
        [sys.executable, "-m", "cardiowatch", "keys", "list"],
        cwd=ROOT, env=_keys_in_greek(str(tmp_path)), stdout=write, stderr=subprocess.PIPE,
        text=True, check=False,
    )  # fmt: skip
    os.close(write)

    assert ended.returncode == 4
    assert ended.stderr.splitlines() == ["cardiowatch: the output was closed before its end"]


def test_a_terminal_without_the_letters_is_one_line_and_code_4(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "cardiowatch", "keys", "list"],
        cwd=ROOT, env=_keys_in_greek(str(tmp_path)) | {"PYTHONIOENCODING": "ascii"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert ended.returncode == 4
    assert len(ended.stderr.splitlines()) == 1
    assert "PYTHONIOENCODING=utf-8" in ended.stderr


def _converted(module: str) -> bool:  # goes when all commands are
    path = ROOT / module.replace(".", "/")
    file = path / "__main__.py" if path.is_dir() else path.with_suffix(".py")
    return "deprecated(" in file.read_text()


@pytest.mark.parametrize("module", [module for module in DEPRECATED if _converted(module)])
def test_the_old_form_works_and_says_what_to_use(module: str) -> None:
    ended = run("-m", module, "--help")

    assert ended.returncode == 0
    assert ended.stdout.startswith("Usage: cardiowatch")
    assert ended.stderr.splitlines() == [
        f"python -m {module} is deprecated: use cardiowatch {' '.join(DEPRECATED[module])}"
    ]


def test_the_list_of_commands_imports_no_command() -> None:
    code = (
        "import sys, cardiowatch; cardiowatch.main(['--help']); "
        "sys.exit(bool({'numpy', 'sqlalchemy', 'pydantic'} & sys.modules.keys()))"
    )

    assert run("-c", code).returncode == 0
