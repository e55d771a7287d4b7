"""Create, list and revoke API keys: `python -m api.keys`; a running service notices in a second.

The file is CARDIOWATCH_KEYS_FILE or `--file`. A new key is printed once, alone on stdout, and
stored only as its SHA-256.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from api.auth.api_keys import ROLES, KeysFileError, create_key, edit_keys, read_keys


def _roles(text: str) -> tuple[str, ...]:
    roles = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    if not set(roles) <= set(ROLES):
        raise argparse.ArgumentTypeError(f"roles are {', '.join(ROLES)}, separated by commas")
    return roles


def _name(text: str) -> str:
    if not text.isprintable():
        raise argparse.ArgumentTypeError("a name may contain printable characters only")
    return text


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m api.keys", description=__doc__)
    parser.add_argument("--file", type=Path, help="default: CARDIOWATCH_KEYS_FILE")
    commands = parser.add_subparsers(dest="command", required=True)
    create = commands.add_parser("create", help="create a key and print it, once")
    create.add_argument("--name", required=True, type=_name, help="the key's user, e.g. dashboard")
    create.add_argument("--roles", required=True, type=_roles, help=", ".join(ROLES))
    commands.add_parser("list", help="id, roles, age and name of each key; never the key")
    revoke = commands.add_parser("revoke", help="revoke a key")
    revoke.add_argument("id", help="as `list` shows it")
    return parser.parse_args()


def _file(named: Path | None) -> Path:
    if named is not None:
        return named
    from settings import load_settings  # needs installed packages; --file does not

    configured = load_settings().keys_file
    if configured is None:
        raise KeysFileError("No keys file: set CARDIOWATCH_KEYS_FILE or give --file")
    return configured


def _create(path: Path, name: str, roles: tuple[str, ...]) -> None:
    with edit_keys(path) as keys:
        key, text = create_key(name, roles)
        keys.append(key)
    print(text)
    print(
        f"Key {key.id} ({name}) has the roles {', '.join(roles)}. It is shown only once; send it "
        "as Authorization: Bearer ...",
        file=sys.stderr,
    )


def _revoke(path: Path, key_id: str) -> None:
    with edit_keys(path) as keys:
        kept = [key for key in keys if key.id != key_id]
        if len(kept) == len(keys):
            raise KeysFileError(
                f"There is no such key in {path}; python -m api.keys list shows them"
            )
        keys[:] = kept
    print(f"Key {key_id} is revoked")


def _escaped(line: str) -> str:
    """Escape what would move a terminal's cursor or forge a line."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


def main() -> int:
    """Run the command; return the exit code."""
    options = _parse()
    try:
        path = _file(options.file)
        if options.command == "create":
            _create(path, options.name, options.roles)
        elif options.command == "revoke":
            _revoke(path, options.id)
        else:
            for key in read_keys(path):
                print(_escaped(f"{key.id}  {','.join(key.roles):28}  {key.created_at}  {key.name}"))
    except ValueError as error:  # KeysError and SettingsError
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
