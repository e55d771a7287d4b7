"""API keys: 256 random bits each, of which the file keeps only the SHA-256, with roles.

The keys are random, so a plain hash is enough: there is no word list to try, and a slow hash would
let wrong keys burn the CPU. Standard library only, so that keys can be created before anything is
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

from errors import CardiowatchError

logger = logging.getLogger("cardiowatch.api")

ROLES = ("predict", "read", "outcome", "operate", "on-behalf", "admin")
"""What a key may do; `on-behalf` names an acting user, `admin` may do everything."""

_PREFIX = "cw"
_SECRET_BYTES = 32
_RECHECK_S = 1.0
"""Longest time until a changed file is noticed."""
_NO_DIGEST = b"\0" * 32


class KeysFileError(CardiowatchError):
    """The keys file cannot be used; one sentence says why and what to do."""


@dataclass(frozen=True)
class ApiKey:
    """One key as it is stored: `id` names it in logs, `sha256` (hex) verifies it."""

    id: str
    name: str
    roles: tuple[str, ...]
    sha256: str
    created_at: str


def create_key(name: str, roles: tuple[str, ...]) -> tuple[ApiKey, str]:
    """Return a new key as it is stored, and its text, which is stored nowhere."""
    key_id = secrets.token_hex(4)
    text = f"{_PREFIX}_{key_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    digest = hashlib.sha256(text.encode()).hexdigest()
    return ApiKey(
        key_id, name, roles, digest, datetime.now(UTC).isoformat(timespec="seconds")
    ), text


def read_keys(path: Path) -> list[ApiKey]:
    """Return the keys of a file.

    Raises
    ------
    KeysFileError
        It is missing, or not what `cardiowatch keys` writes.
    """
    keys: list[ApiKey] = []
    where = ""
    try:
        for entry in json.loads(path.read_text("utf-8-sig"))["keys"]:
            where = f" (key {len(keys) + 1} in it is invalid)"
            keys.append(_key(entry))
        return keys
    except OSError as error:
        raise KeysFileError(
            f"Cannot read the API keys in {path} ({error.strerror}): create one with "
            "cardiowatch keys create"
        ) from None
    except Exception:  # whatever is wrong with it, RecursionError too, must reject all requests
        raise KeysFileError(
            f"{path} is not a keys file{where}: create it with cardiowatch keys"
        ) from None


def _key(entry: Mapping[str, Any]) -> ApiKey:
    key = ApiKey(**{**entry, "roles": tuple(entry["roles"])})
    if not all(isinstance(text, str) for text in (key.id, key.name, key.sha256, key.created_at)):
        raise TypeError("not a string")
    bytes.fromhex(key.sha256)
    if len(key.sha256) != 64 or not set(key.roles) <= set(ROLES) or not key.id:
        raise ValueError("not a key")
    return key


@contextmanager
def edit_keys(path: Path) -> Iterator[list[ApiKey]]:
    """Yield the list of keys and write it back atomically: a reader sees the old or the new file.

    A lock makes concurrent edits wait. The file is readable by all, because hashes of random keys
    reveal nothing; whoever can write it can grant access.

    Raises
    ------
    KeysFileError
        The file exists and cannot be read, or cannot be written.
    """
    try:
        path = path.resolve()  # the file that a link names is replaced, not the link
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_name(f"{path.name}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            keys = read_keys(path) if path.exists() else []
            yield keys
            _write(path, keys)
    except OSError as error:
        raise KeysFileError(f"{path} cannot be written: {error.strerror}") from None


def add_key(path: Path, name: str, roles: tuple[str, ...]) -> tuple[ApiKey, str]:
    """Add a new key to a file; return it as stored, and its text, which is stored nowhere."""
    with edit_keys(path) as keys:
        key, text = create_key(name, roles)
        keys.append(key)
    return key, text


def _write(path: Path, keys: list[ApiKey]) -> None:
    text = json.dumps({"keys": [asdict(key) for key in keys]}, indent=1)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as part:
        part.write(text + "\n")
        part.flush()
        os.fsync(part.fileno())
    os.chmod(part.name, 0o644)  # noqa: PTH101 - see `edit_keys`
    os.replace(part.name, path)  # noqa: PTH105


class ApiKeys:
    """The keys of a file, read again when it changes; used on every request.

    Raises
    ------
    KeysFileError
        The file cannot be used at the start. Later such a file rejects all requests.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = self._stamp()
        self._keys = {key.id: (bytes.fromhex(key.sha256), key) for key in read_keys(path)}
        self._broken: KeysFileError | None = None
        self._next_check = time.monotonic() + _RECHECK_S

    def authenticate(self, presented: bytes) -> ApiKey | None:
        """Return the key with this text; None if there is none.

        Raises
        ------
        KeysFileError
            The file has become unreadable, so that no key can be verified.
        """
        self.check()
        # The id is not secret; the digest decides, and is compared even for an unknown id.
        digest, key = self._keys.get(
            presented[len(_PREFIX) + 1 : len(_PREFIX) + 9].decode("latin-1"), (_NO_DIGEST, None)
        )
        return key if compare_digest(hashlib.sha256(presented).digest(), digest) else None

    def check(self) -> None:
        """Check the file when it is due; raise KeysFileError while it cannot be used."""
        if time.monotonic() >= self._next_check:
            self._reload_if_changed()
        if self._broken is not None:
            raise self._broken

    def _reload_if_changed(self) -> None:
        self._next_check = time.monotonic() + _RECHECK_S
        stamp = self._stamp()
        if stamp == self._seen and self._broken is None:  # a fault may pass without a change
            return
        self._seen = stamp
        try:
            keys = read_keys(self._path)
        except KeysFileError as error:
            logger.error("all requests rejected: %s", error)
            self._broken, self._keys = error, {}
            return
        self._keys = {key.id: (bytes.fromhex(key.sha256), key) for key in keys}
        self._broken = None  # last: other threads read meanwhile

    def _stamp(self) -> tuple[int, int, int, int] | None:
        """Return what changes with the file or its mode; follows links, which Kubernetes swaps."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ctime_ns, found.st_mtime_ns, found.st_ino, found.st_size
