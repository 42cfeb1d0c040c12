"""Requests that may be sent again: the same id has one effect and one answer."""

import sqlite3

from milepost.daemon.store.store import Transaction


def recall(db: sqlite3.Connection, request_id: str, payload_hash: str) -> bytes | None:
    """What was answered to this request; None when it is new. Raises MilepostError(REQUEST_ID_REUSED)."""
    raise NotImplementedError


def remember(tx: Transaction, request_id: str, rpc: str, payload_hash: str, response: bytes, now: float) -> None:
    """In the same transaction as the request's effect."""
    raise NotImplementedError
