"""Requests that may be sent again: the same id has one effect and one answer, for a week."""

import sqlite3

from milepost.core.errors import Code, MilepostError
from milepost.daemon.store.group_commit import Transaction
from milepost.daemon.store.queries import load

_QUERIES = load("requests")

KEPT = 7 * 86400.0
#: More than one, so that those of a busy time do not stay for ever; few, because somebody waits.
_FORGOTTEN_AT_ONCE = 20


def recall(db: sqlite3.Connection, request_id: str, payload_hash: str) -> bytes | None:
    """What was answered to this request; None when it is new. Raises MilepostError(REQUEST_ID_REUSED)."""
    row = db.execute(_QUERIES.get, (request_id,)).fetchone()
    if row is None:
        return None
    if row["payload_hash"] != payload_hash:
        raise MilepostError(
            Code.REQUEST_ID_REUSED,
            f"The request id {request_id!r} was used before, for something else.",
            "Give each new request an id of its own.",
        )
    return bytes(row["response"])


def remember(tx: Transaction, request_id: str, rpc: str, payload_hash: str, response: bytes, now: float) -> None:
    """In the same transaction as the request's effect. Some of those that are older than KEPT are forgotten."""
    tx.execute(_QUERIES.forget, (now - KEPT, _FORGOTTEN_AT_ONCE))
    tx.execute(_QUERIES.insert, (request_id, rpc, payload_hash, response, now))
