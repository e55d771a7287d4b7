"""Idempotency keys: claimed in the transaction of their rows, so that a retry adds nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, delete, select, tuple_

from db.engine import upsert
from db.schema import idempotency

KEY_LIFETIME = timedelta(hours=24)
"""How long an idempotency key is stored."""

DELETE_BATCH = 1_000
"""Keys deleted in one transaction, for which the log's next rows wait."""


class StoredResponse(NamedTuple):
    """The first response under an idempotency key."""

    request_hash: bytes
    response: bytes


class IdempotencyClaim(NamedTuple):
    """An idempotency key with the response to store under it."""

    scope: str
    key: str
    request_hash: bytes
    response: bytes


def find_response(connection: Connection, scope: str, key: str) -> StoredResponse | None:
    """Return the response stored under a key, or None."""
    columns = idempotency.c
    found = connection.execute(
        select(columns.request_hash, columns.response).where(
            columns.scope == scope, columns.key == key
        )
    ).one_or_none()
    return None if found is None else StoredResponse(bytes(found[0]), bytes(found[1]))


def claim_keys(
    connection: Connection, claims: Sequence[IdempotencyClaim]
) -> list[StoredResponse | None]:
    """Claim keys; return None for each, or the stored response if it was claimed before."""
    first: dict[tuple[str, str], int] = {}
    for number, claim in enumerate(claims):
        first.setdefault((claim.scope, claim.key), number)
    now = {"created_at": datetime.now(UTC)}
    # In the order of the keys: two processes that claim the same ones never deadlock.
    values = [claims[first[key]]._asdict() | now for key in sorted(first)]
    columns = idempotency.c
    insert = upsert(connection, idempotency).on_conflict_do_nothing()
    rows = connection.execute(insert.returning(columns.scope, columns.key), values)
    won = {first[scope, key] for scope, key in rows}
    return [
        None if number in won else find_response(connection, claim.scope, claim.key)
        for number, claim in enumerate(claims)
    ]


def delete_expired_keys(connection: Connection) -> int:
    """Delete some of the idempotency keys that are older than `KEY_LIFETIME`; return how many."""
    c = idempotency.c
    old = select(c.scope, c.key).where(c.created_at < datetime.now(UTC) - KEY_LIFETIME)
    some = old.order_by(c.created_at).limit(DELETE_BATCH).with_for_update(skip_locked=True)
    return connection.execute(delete(idempotency).where(tuple_(c.scope, c.key).in_(some))).rowcount
