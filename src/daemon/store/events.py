"""The append-only history: who did what, from where, and which state followed."""

import sqlite3

from milepost.core.model import Event
from milepost.daemon.store.store import Transaction


def append(tx: Transaction, job_id: str, event: Event) -> int:
    """Returns the event's id. `event.job_id`, `id` and `revision` are given here."""
    raise NotImplementedError


def page(db: sqlite3.Connection, job_id: str | None, after_id: int, limit: int) -> list[Event]:
    """Oldest first; of all jobs when `job_id` is None."""
    raise NotImplementedError
