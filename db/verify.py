"""Verify that no row of the log was altered, removed or inserted: `cardiowatch verify`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError

from db.audit.catalogue import differences
from db.audit.chain import ChainHead, is_authentic
from db.audit.chain_heads import read_heads
from db.audit.index_consistency import inconsistencies
from db.audit.seal_key import SealError, SealKey, load_key
from db.audit.verify_chain import Verification, verify_chains
from db.engine import check_migrated, keep_snapshot, open_engine, session
from db.schema import LOG_TABLES, writers
from db.table_scans import read_tables
from errors import NO
from settings import load_settings

QUERY_TIMEOUT_S = 86_400.0
"""Longest wait for the database: it sorts the whole log."""

MAX_FINDINGS = 20
"""Findings listed without `--all`; their number is always given."""


def verify_log(url: str, key: SealKey, heads: Sequence[Path] = ()) -> Verification:
    """Verify all chains of a log, and the tables that hold them.

    Parameters
    ----------
    url
        Of the database; the service may keep writing to it.
    key
        The log's key.
    heads
        Files of chain heads, from every host that writes to the log.

    Raises
    ------
    DatabaseUnavailable
        The database cannot be read.
    SealError
        The log is not sealed, or a file of heads cannot be used.
    """
    # Read before the rows: what is written meanwhile cannot seem to be missing.
    known = [head for path in heads for head in read_heads(path, key)] if heads else None
    if known == []:
        raise SealError(
            "The heads name no writer: give the file that the service keeps, or all head lines of "
            "its log (docs/record.md)."
        )
    engine = open_engine(url, read_only=True, timeout_s=QUERY_TIMEOUT_S)
    try:
        check_migrated(engine, or_newer=False)
        with session(engine) as connection:
            return _verify(connection, key, known, _newest(heads))
    finally:
        engine.dispose()


def _newest(files: Sequence[Path]) -> datetime | None:
    """Return when the last of the files was written."""
    times = [path.stat().st_mtime for path in files]
    return datetime.fromtimestamp(max(times), UTC) if times else None


def _verify(
    connection: Connection, key: SealKey, heads: Sequence[ChainHead] | None, until: datetime | None
) -> Verification:
    keep_snapshot(connection)
    if connection.dialect.name == "postgresql":  # keeps retention from dropping what it shows
        connection.exec_driver_sql(f"LOCK TABLE {LOG_TABLES} IN ACCESS SHARE MODE")
    else:  # any bytes may stand where text is expected
        file: Any = connection.connection.driver_connection
        file.text_factory = _text
    began = connection.execute(select(writers)).all()
    if not began and not heads:
        raise SealError(
            "This log is not sealed, so nothing can be verified: it was never written with a "
            "key (CARDIOWATCH_LOG_HMAC_KEY_FILE, docs/record.md)."
        )
    if began and not any(is_authentic(key, writer) for writer in began):
        raise SealError(
            f"{key.path} is not the key of this log. If it should be, every writer record was "
            "altered."
        )
    read_tables(connection)
    between = [*differences(connection), *inconsistencies(connection)]
    return _walk(connection, key, heads, until, between)


def _walk(
    connection: Connection,
    key: SealKey,
    heads: Sequence[ChainHead] | None,
    until: datetime | None,
    between: list[str],
) -> Verification:
    """Verify the chains; `between` is what was found between the tables and their readers."""
    try:
        verdict = verify_chains(connection, key, heads, until)
    except DBAPIError as error:
        if not between:
            raise
        verdict = Verification(findings=[f"the rows cannot be read: {error.orig}"])
    verdict.findings += between
    return verdict


def _text(kept: bytes) -> str:
    return kept.decode("utf-8", "surrogateescape")


def format_result(
    verdict: Verification, *, with_heads: bool, limit: int = MAX_FINDINGS
) -> list[str]:
    """Return the result in sentences, with at most `limit` findings.

    Control characters that an attacker put into the log are escaped.
    """
    counts = verdict.counts
    read = (
        f"{counts['predictions']:,} predictions, {counts['outcomes']:,} outcomes and "
        f"{counts['responses']:,} responses of {verdict.writers:,} writers"
    )
    if verdict.findings:
        number = len(verdict.findings)
        lines = [_visible(finding) for finding in verdict.findings[:limit]]
        if number > limit:
            lines.append(f"... and {number - limit:,} more; use --all to list them")
        lines.append(f"INTEGRITY CHECK FAILED: {number:,} findings in {read}.")
    else:
        lines = [f"{read}: integrity check passed."]
    if counts["expired"] or counts["erased"]:
        lines.append(
            f"Removed with a signed tombstone: {counts['expired']:,} entries by retention, "
            f"{counts['erased']:,} by erasure."
        )
    if counts["unsealed"]:
        lines.append(
            f"{counts['unsealed']:,} rows predate the chain: their content is not verified."
        )
    if not with_heads:
        lines.append(
            "Not checked: truncation of the newest rows or writers; that requires --heads FILE."
        )
    elif verdict.writers_without_head:
        named = ", ".join(map(str, verdict.writers_without_head[:MAX_FINDINGS]))
        more = len(verdict.writers_without_head) - MAX_FINDINGS
        named += f" and {more} more" if more > 0 else ""
        lines.append(
            f"Not checked: whether the tail of writer {named} was truncated; it is not in these "
            "heads."
        )
    return lines


def _visible(sentence: str) -> str:
    if sentence.isprintable():
        return sentence
    return sentence.encode("unicode_escape", "surrogatepass").decode("ascii")


@click.command("verify")
@click.option(
    "--heads",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Signed chain heads (<key file>.heads): finds truncated tails and missing writers.",
)
@click.argument("more_heads", type=click.Path(path_type=Path), nargs=-1, metavar="[FILE]...")
@click.option("--all", "every", is_flag=True, help="List every finding.")
def command(heads: tuple[Path, ...], more_heads: tuple[Path, ...], every: bool) -> int:
    """Verify that no row was altered, removed or inserted.

    Needs the key of the log (CARDIOWATCH_LOG_HMAC_KEY_FILE) and reads all of it. Exit code 0: the
    integrity check passed; 1: it found something. --heads takes one file for each host.
    """
    settings = load_settings()
    key = load_key(settings.database_url, settings.log_hmac_key_file)
    if key is None:
        raise SealError(
            "The log's key is needed: set CARDIOWATCH_LOG_HMAC_KEY_FILE (docs/record.md). "
            "Without a key nothing is sealed, and nothing can be verified."
        )
    heads += more_heads
    verdict = verify_log(settings.database_url, key, heads)
    most = len(verdict.findings) if every else MAX_FINDINGS
    print("\n".join(format_result(verdict, with_heads=bool(heads), limit=most)))
    return NO if verdict.findings else 0


if __name__ == "__main__":
    from cardiowatch import deprecated

    sys.exit(deprecated("verify"))
