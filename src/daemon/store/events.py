"""The append-only history: who did what, from where, and which state followed."""

import sqlite3

from milepost.core.model import Event
from milepost.daemon.store import rows
from milepost.daemon.store.group_commit import Transaction
from milepost.daemon.store.queries import load

_QUERIES = load("events")


def append(tx: Transaction, job_id: str, event: Event) -> int:
    """Returns the event's id. `event.job_id`, `id` and `revision` are given here."""
    values = (job_id, event.kind, event.time, event.by, event.client, event.message, event.from_state, event.to_state)
    event_id = tx.execute(_QUERIES.insert, (*values, tx.revision)).lastrowid
    assert event_id is not None
    return event_id


def page(db: sqlite3.Connection, job_id: str | None, after_id: int, limit: int) -> list[Event]:
    """Oldest first; of all jobs when `job_id` is None."""
    if job_id is None:
        found = db.execute(_QUERIES.page, (after_id, limit))
    else:
        found = db.execute(_QUERIES.page_of_job, (job_id, after_id, limit))
    return [rows.event(row) for row in found.fetchall()]


def newest(db: sqlite3.Connection, job_id: str | None, before_id: int | None, limit: int) -> list[Event]:
    """Newest first, from the last one when `before_id` is None; of all jobs when `job_id` is None."""
    before = (1 << 62) if before_id is None else before_id
    if job_id is None:
        found = db.execute(_QUERIES.newest, (before, limit))
    else:
        found = db.execute(_QUERIES.newest_of_job, (job_id, before, limit))
    return [rows.event(row) for row in found.fetchall()]
