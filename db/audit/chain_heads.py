"""Chain heads: the signed length and last seal of each writer's chain, outside the database.

Inside the database a truncated tail leaves no trace. A head is a line of JSON for each writer: in a
file, about once a second, or in the service's log, once a minute, and always at shutdown. After a
kill the last second or minute is not covered.
"""

from __future__ import annotations

import fcntl
import hmac
import json
import logging
import os
from pathlib import Path
from time import monotonic

from db.audit.chain import ChainHead
from db.audit.seal_key import SealError, SealKey
from logs import chain_heads as lines

logger = logging.getLogger("cardiowatch.log")

STDOUT = Path("-")
"""Instead of a file: the heads are lines of the service's log."""

_LINE_EVERY_S = 60.0


def heads_path(key: SealKey | None, file: Path | None) -> Path | None:
    """Return the path of the heads: the configured file, else beside the key."""
    return file or (Path(f"{key.path}.heads") if key else None)


def open_heads(path: Path, key: SealKey) -> ChainHeadFile | ChainHeadLog:
    """Return a writer of heads for a path."""
    return ChainHeadLog(key) if path == STDOUT else ChainHeadFile(path, key)


class ChainHeadLog:
    """Heads as lines on standard output, for pods, which have no file that outlives them."""

    def __init__(self, key: SealKey) -> None:
        self._key = key
        self._seen: ChainHead | None = None
        self._written: ChainHead | None = None
        self._due = 0.0

    def write(self, head: ChainHead, *, final: bool = False) -> None:
        """Write a head at most once a minute, and always when `final` or when a chain has ended."""
        before, self._seen = self._seen, head
        if before and before.name != head.name:  # a lost connection: the process is a new writer
            self._log(before)
            final = True
        if final or monotonic() >= self._due:
            self._log(head)

    def _log(self, head: ChainHead) -> None:
        if head != self._written:
            lines.info(_line(self._key, head))
            self._written, self._due = head, monotonic() + _LINE_EVERY_S


class ChainHeadFile:
    """A file of heads that several processes keep up to date."""

    def __init__(self, path: Path, key: SealKey) -> None:
        self._path = path
        self._key = key
        self._written: ChainHead | None = None

    def write(self, head: ChainHead, *, final: bool = False) -> None:
        """Replace a writer's head; a reader sees the old file or the new one.

        A file is written each time, `final` or not. A failure is logged and retried.
        """
        if head == self._written:
            return
        try:
            with self._path.with_name(f"{self._path.name}.lock").open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                lines = self._path.read_text("ascii").splitlines() if self._path.exists() else []
                mine = f'{{"writer": {head.writer}, "name": "{head.name}", '
                kept = [line for line in lines if not line.startswith(mine)]
                self._replace([*kept, _line(self._key, head)])
            self._written = head
        except (OSError, UnicodeDecodeError) as error:
            logger.warning("cannot write the chain head to %s: %s", self._path, error)

    def _replace(self, lines: list[str]) -> None:
        part = self._path.with_name(f"{self._path.name}.part")
        part.touch(mode=0o600)
        part.write_text("".join(f"{line}\n" for line in lines), "ascii")
        os.replace(part, self._path)  # noqa: PTH105


def _line(key: SealKey, head: ChainHead) -> str:
    return json.dumps(
        head._asdict() | {"seal": head.seal.hex(), "signature": key.sign("head", *head).hex()}
    )


def read_heads(path: Path, key: SealKey) -> list[ChainHead]:
    """Return the heads in a file, which may also hold lines of the service's log.

    Raises
    ------
    SealError
        The file cannot be read, or a line was not signed with this key.
    """
    try:
        return [_head(line, key) for line in path.read_text("ascii").splitlines() if line]
    except OSError as error:
        raise SealError(f"The chain heads in {path} cannot be read: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError):
        raise SealError(
            f"The chain heads in {path} were altered or signed with a different key."
        ) from None


def _head(line: str, key: SealKey) -> ChainHead:
    found = json.loads(line[line.index("{") :])  # in a log of text the time comes first
    if "message" in found:  # in a log of JSON
        found = json.loads(found["message"])
    head = ChainHead(found["writer"], found["name"], found["entries"], bytes.fromhex(found["seal"]))
    if not hmac.compare_digest(bytes.fromhex(found["signature"]), key.sign("head", *head)):
        raise ValueError("signature")
    return head
