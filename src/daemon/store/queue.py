"""Which jobs wait for a slot, read without the rest of their rows."""

import sqlite3

from milepost.core import queueing
from milepost.core.queueing import Limits, Queued
from milepost.daemon.store.queries import load

_QUERIES = load("queue")


def queued(db: sqlite3.Connection) -> list[Queued]:
    """Jobs that wait for a slot, in no order; `held` while their records are being rewritten."""
    return [
        Queued(row["id"], row["queue"], row["priority"], row["queue_time"], row["sequence"], bool(row["held"]))
        for row in db.execute(_QUERIES.queued).fetchall()
    ]


def active_queues(db: sqlite3.Connection) -> list[str]:
    """The queue of each job that holds a slot."""
    return [row["queue"] for row in db.execute(_QUERIES.active_queues).fetchall()]


def places(db: sqlite3.Connection) -> dict[str, int]:
    """Place of each queued job within its queue, from 1."""
    return queueing.places(queued(db))


def wait_text(db: sqlite3.Connection, job_id: str, limits: Limits) -> str:
    """As `queueing.wait_text`, of the jobs there are."""
    return queueing.wait_text(job_id, queued(db), active_queues(db), limits)
