"""API keys: 256 random bits each, of which the file keeps only the SHA-256, with roles.

The keys are random, so a plain hash is enough: there is no word list to try, and a slow hash would
let wrong keys burn the CPU. Standard library only, so that keys can be made before anything is
installed.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import secrets
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hmac import compare_digest
from pathlib import Path
from typing import Any

logger = logging.getLogger("cardiowatch.api")

ROLES = ("predict", "read", "outcome", "admin")
"""What a key may do; `admin` may do everything."""

_PREFIX = "cw"
_SECRET_BYTES = 32
_RECHECK_S = 1.0
"""A changed file is noticed after so long at most."""
_NOBODY = b"\0" * 32


class KeysError(ValueError):
    """The file of keys cannot be used; one sentence says why and what to do."""


@dataclass(frozen=True)
class Key:
    """One key as it is kept: `id` names it in logs, `sha256` (hex) proves it."""

    id: str
    name: str
    roles: tuple[str, ...]
    sha256: str
    created_at: str

    def may(self, role: str | None) -> bool:
        """Say whether the key carries a role; None = any key will do."""
        return role is None or role in self.roles or "admin" in self.roles


def make(name: str, roles: tuple[str, ...]) -> tuple[Key, str]:
    """Return a new key as it is kept, and its text, which is nowhere else."""
    key_id = secrets.token_hex(4)
    text = f"{_PREFIX}_{key_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Key(key_id, name, roles, digest, datetime.now(UTC).isoformat(timespec="seconds")), text


def read(path: Path) -> list[Key]:
    """Return the keys of a file.

    Raises
    ------
    KeysError
        It is missing, or not what `python -m api.keys` writes.
    """
    keys: list[Key] = []
    where = ""
    try:
        for entry in json.loads(path.read_text("utf-8-sig"))["keys"]:
            where = f" (key {len(keys) + 1} of it is none)"
            keys.append(_key(entry))
        return keys
    except OSError as error:
        raise KeysError(
            f"The keys in {path} cannot be read ({error.strerror}): make one with "
            "python -m api.keys create"
        ) from None
    except Exception:  # whatever is wrong with it, RecursionError too, must let nobody in
        raise KeysError(
            f"{path} is not a file of keys{where}: write it with python -m api.keys"
        ) from None


def _key(entry: Mapping[str, Any]) -> Key:
    key = Key(**{**entry, "roles": tuple(entry["roles"])})
    if not all(isinstance(text, str) for text in (key.id, key.name, key.sha256, key.created_at)):
        raise TypeError("not a text")
    bytes.fromhex(key.sha256)
    if len(key.sha256) != 64 or not set(key.roles) <= set(ROLES) or not key.id:
        raise ValueError("not a key")
    return key


@contextmanager
def changed(path: Path) -> Iterator[list[Key]]:
    """Lend the list of keys and write it back whole: a reader sees the old file or the new one.

    Two that change it at once wait for each other. The file is readable by all, because hashes of
    random keys tell nothing; who may write it may let people in.

    Raises
    ------
    KeysError
        The file exists and cannot be read, or cannot be written.
    """
    try:
        path = path.resolve()  # the file that a link names is replaced, not the link
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_name(f"{path.name}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            keys = read(path) if path.exists() else []
            yield keys
            _write(path, keys)
    except OSError as error:
        raise KeysError(f"{path} cannot be written: {error.strerror}") from None


def _write(path: Path, keys: list[Key]) -> None:
    text = json.dumps({"keys": [asdict(key) for key in keys]}, indent=1)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as part:
        part.write(text + "\n")
        part.flush()
        os.fsync(part.fileno())
    os.chmod(part.name, 0o644)  # noqa: PTH101 - see `changed`
    os.replace(part.name, path)  # noqa: PTH105


class Keyring:
    """The keys of a file, read again when it changes; asked on every request.

    Raises
    ------
    KeysError
        The file cannot be used at the start. Later such a file lets nobody in.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = self._stamp()
        self._keys = {key.id: (bytes.fromhex(key.sha256), key) for key in read(path)}
        self._broken: KeysError | None = None
        self._next_look = time.monotonic() + _RECHECK_S

    def find(self, presented: bytes) -> Key | None:
        """Return the key whose text this is; None = nobody's.

        Raises
        ------
        KeysError
            The file has become unreadable, so that nobody can be known.
        """
        self.check()
        # The id is no secret; the digest decides, and is compared even when there is no such id.
        digest, key = self._keys.get(
            presented[len(_PREFIX) + 1 : len(_PREFIX) + 9].decode("latin-1"), (_NOBODY, None)
        )
        return key if compare_digest(hashlib.sha256(presented).digest(), digest) else None

    def check(self) -> None:
        """Look at the file when it is time; raise KeysError while it cannot be used."""
        if time.monotonic() >= self._next_look:
            self._look()
        if self._broken is not None:
            raise self._broken

    def _look(self) -> None:
        self._next_look = time.monotonic() + _RECHECK_S
        stamp = self._stamp()
        if stamp == self._seen and self._broken is None:  # what broke may pass without a change
            return
        self._seen = stamp
        try:
            keys = read(self._path)
        except KeysError as error:
            logger.error("nobody is let in: %s", error)
            self._broken, self._keys = error, {}
            return
        self._keys = {key.id: (bytes.fromhex(key.sha256), key) for key in keys}
        self._broken = None  # last: other threads ask meanwhile

    def _stamp(self) -> tuple[int, int, int, int] | None:
        """Return what changes with file or mode; through links, as Kubernetes swaps them."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ctime_ns, found.st_mtime_ns, found.st_ino, found.st_size
