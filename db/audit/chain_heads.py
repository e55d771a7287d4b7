"""How far each writer's chain has come, signed and kept outside the database.

Within the database a removed tail leaves no trace: the chain just ends earlier. The heads say where
it ended, a line of JSON for each writer: in a file, about once a second, or among what the service
logs, once a minute. A line is also written at the end; after a kill the newest second or minute is
not in them.
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
"""In place of a file: the heads are lines of the service's log."""

_LINE_EVERY_S = 60.0


def heads_path(key: SealKey | None, file: Path | None) -> Path | None:
    """Return where the heads are kept: in the file that was set, else beside the key."""
    return file or (Path(f"{key.path}.heads") if key else None)


def open_heads(path: Path, key: SealKey) -> ChainHeadFile | ChainHeadLog:
    """Return what writes the heads there."""
    return ChainHeadLog(key) if path == STDOUT else ChainHeadFile(path, key)


class ChainHeadLog:
    """Heads as lines on standard output, for pods, which have no file that outlives them."""

    def __init__(self, key: SealKey) -> None:
        self._key = key
        self._seen: ChainHead | None = None
        self._written: ChainHead | None = None
        self._due = 0.0

    def write(self, head: ChainHead, *, final: bool = False) -> None:
        """Write a writer's head, at most once a minute, at last, and where its chain has ended."""
        before, self._seen = self._seen, head
        if before and before.name != head.name:  # a lost connection: the process is a new writer
            self._say(before)
            final = True
        if final or monotonic() >= self._due:
            self._say(head)

    def _say(self, head: ChainHead) -> None:
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
        """Put a writer's head in place of its earlier one; a reader sees the old file or the new.

        At last or not is all the same to a file, which is written each time. Best effort: a head
        that cannot be written is said in the service's log, and tried again.
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
            logger.warning("the chain's head cannot be written to %s: %s", self._path, error)

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
    """Return the heads of a file, as it was kept or as lines taken from the service's log.

    Raises
    ------
    SealError
        It cannot be read, or a line of it was not signed with this key.
    """
    try:
        return [_head(line, key) for line in path.read_text("ascii").splitlines() if line]
    except OSError as error:
        raise SealError(f"The heads in {path} cannot be read: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError):
        raise SealError(f"The heads in {path} were altered, or signed with another key.") from None


def _head(line: str, key: SealKey) -> ChainHead:
    found = json.loads(line[line.index("{") :])  # in a log of text the time comes first
    if "message" in found:  # in a log of JSON
        found = json.loads(found["message"])
    head = ChainHead(found["writer"], found["name"], found["entries"], bytes.fromhex(found["seal"]))
    if not hmac.compare_digest(bytes.fromhex(found["signature"]), key.sign("head", *head)):
        raise ValueError("signature")
    return head
