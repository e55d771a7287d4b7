"""The key of a log: a file outside the database, from which a key is derived for every use."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from errors import CardiowatchError

_SECRET = re.compile(r"[0-9a-fA-F]{64}")
_BLOCK = 64  # bytes, of SHA-256


class SealError(CardiowatchError):
    """The log cannot be sealed or checked; one sentence says why and what to do."""


class SealKey:
    """The key of a log: seals entries, signs tombstones and heads, hashes names.

    Parameters
    ----------
    secret
        32 random bytes. A separate key is derived for each use.
    path
        The file it was read from.
    """

    def __init__(self, secret: bytes, path: Path | None = None) -> None:
        self.path = path
        self._secret = secret
        chain = self._derived("chain").ljust(_BLOCK, b"\0")
        # Both halves of HMAC, already keyed: copying them costs half of hmac.digest.
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in chain))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in chain))
        self._signing = self._derived("signature")
        self._patient = self._derived("patient")
        self._actor = self._derived("actor")

    def seal(self, before: bytes, digest: bytes) -> bytes:
        """Return an entry's seal: HMAC-SHA-256 of the seal before it and its own digest."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(before + digest)
        outer.update(inner.digest())
        return outer.digest()

    def sign(self, *parts: object) -> bytes:
        """Return the signature of a statement, whose parts are encoded unambiguously."""
        return hmac.digest(self._signing, repr([_plain(part) for part in parts]).encode(), "sha256")

    def hash_patient_reference(self, reference: str) -> bytes:
        """Return the HMAC of a Patient-Reference, which is what the log stores."""
        return hmac.digest(self._patient, reference.encode(), "sha256")

    def hash_acting_user(self, name: str) -> bytes:
        """Return the HMAC of an Acting-User, which is what the log stores."""
        return hmac.digest(self._actor, name.encode(), "sha256")

    def _derived(self, use: str) -> bytes:
        return hmac.digest(self._secret, f"cardiowatch {use}".encode(), "sha256")


def _plain(part: object) -> object:
    return part.astimezone(UTC).isoformat() if isinstance(part, datetime) else part


def default_key_path(url: str) -> Path | None:
    """Return the default path of a SQLite log's key; None on PostgreSQL."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        return None  # db.engine says what is wrong with it
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        return None
    return Path(f"{parsed.database}.key")


def load_key(url: str, file: Path | None) -> SealKey | None:
    """Read the key of a log; None = this log is not sealed.

    Parameters
    ----------
    url
        Of the log's database.
    file
        The setting `LOG_HMAC_KEY_FILE`. Without it, a SQLite log's key is `<its file>.key`, if
        there is one.

    Raises
    ------
    SealError
        The file that was set is missing, or does not hold a key.
    """
    path = file or default_key_path(url)
    if path is None or (file is None and not os.path.lexists(path)):  # a link to nothing is a fault
        return None
    try:
        text = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise SealError(
            f"The log's key {path} cannot be read ({reason}): restore it, or create one with "
            f"(umask 077; openssl rand -hex 32 > {path})."
        ) from None
    if not _SECRET.fullmatch(text):
        raise SealError(f"{path} is not a log's key: it must hold 64 hexadecimal digits.")
    return SealKey(bytes.fromhex(text), path)


def require_patient_key(url: str, file: Path | None) -> SealKey:
    """Return the key of a log, which finding a patient requires; see `load_key`."""
    key = load_key(url, file)
    if key is None:
        raise SealError(
            "Finding a patient requires the log's key: set CARDIOWATCH_LOG_HMAC_KEY_FILE "
            "(docs/record.md)."
        )
    return key


def create_seal_key(path: Path) -> None:
    """Create a key file that only its owner can read; an existing one is left alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(file, "w") as new:
        new.write(secrets.token_hex(32) + "\n")
