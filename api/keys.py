"""Create, list and revoke API keys: `cardiowatch keys`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from api.auth.api_keys import ROLES, KeysFileError, add_key, edit_keys, read_keys
from settings import load_settings


def _roles(ctx: Any, param: Any, text: str) -> tuple[str, ...]:
    roles = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    if not set(roles) <= set(ROLES):
        raise click.BadParameter(f"roles are {', '.join(ROLES)}, separated by commas")
    return roles


def _name(ctx: Any, param: Any, text: str) -> str:
    if not text.isprintable():
        raise click.BadParameter("a name may contain printable characters only")
    return text


@click.group("keys")
@click.option("--file", type=click.Path(path_type=Path), help="Default: CARDIOWATCH_KEYS_FILE.")
@click.pass_context
def command(ctx: click.Context, file: Path | None) -> None:
    """Create, list and revoke API keys; a running service notices within a second.

    A new key is printed once, alone on standard output, and stored only as its SHA-256.
    """
    ctx.obj = file


def _path(named: Path | None) -> Path:
    path = named or load_settings().keys_file
    if path is None:
        raise KeysFileError("No keys file: set CARDIOWATCH_KEYS_FILE or give --file")
    return path


@command.command()
@click.option("--name", required=True, callback=_name, help="The key's user, e.g. dashboard.")
@click.option("--roles", required=True, callback=_roles, help=", ".join(ROLES))
@click.pass_obj
def create(file: Path | None, name: str, roles: tuple[str, ...]) -> None:
    """Create a key and print it, once."""
    key, text = add_key(_path(file), name, roles)
    print(text)
    print(
        f"Key {key.id} ({name}) has the roles {', '.join(roles)}. It is shown only once; send it "
        "as Authorization: Bearer ...",
        file=sys.stderr,
    )


@command.command("list")
@click.pass_obj
def list_keys(file: Path | None) -> None:
    """List id, roles, age and name of each key; never the key."""
    for key in read_keys(_path(file)):
        print(_escaped(f"{key.id}  {','.join(key.roles):28}  {key.created_at}  {key.name}"))


@command.command()
@click.argument("key_id", metavar="ID")
@click.pass_obj
def revoke(file: Path | None, key_id: str) -> None:
    """Revoke the key with the id that `list` shows."""
    path = _path(file)
    with edit_keys(path) as keys:
        kept = [key for key in keys if key.id != key_id]
        if len(kept) == len(keys):
            raise KeysFileError(f"There is no such key in {path}; cardiowatch keys list shows them")
        keys[:] = kept
    print(f"Key {key_id} is revoked")


def _escaped(line: str) -> str:
    """Escape what would move a terminal's cursor or forge a line."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


if __name__ == "__main__":
    from cardiowatch import deprecated

    sys.exit(deprecated("keys"))
