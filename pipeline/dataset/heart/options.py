"""What the commands that look at a file of patients ask for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from pipeline.dataset.heart.codings import Coding
from pipeline.dataset.heart.mapping import ColumnMapping, load_mapping

Command = TypeVar("Command", bound=Callable[..., Any])


class _Coding(click.ParamType[Coding]):
    name = "uci|kaggle"

    def convert(self, value: Any, param: Any, ctx: Any) -> Coding:
        if value not in (Coding.UCI, Coding.KAGGLE):
            self.fail("write uci or kaggle", param, ctx)
        return Coding(value)


class _Mapping(click.ParamType[ColumnMapping]):
    name = "file"

    def convert(self, value: Any, param: Any, ctx: Any) -> ColumnMapping:
        return value if isinstance(value, ColumnMapping) else load_mapping(Path(value))


file_argument = click.argument("file", type=click.Path(path_type=Path))
json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON instead of text.")
_READING = (
    click.option("--coding", type=_Coding(), help="Of its codes, when not decidable."),
    click.option(
        "--mapping", type=_Mapping(), help="JSON or TOML: columns to rename, values to recode."
    ),
    click.option(
        "--allow-duplicates", is_flag=True, help="Accept a file of which many rows are duplicates."
    ),
)


def reading_options(command: Command) -> Command:
    """Ask for what `read_patients` and the audit take: coding, mapping, allow_duplicates."""
    for option in reversed(_READING):
        command = option(command)
    return command
