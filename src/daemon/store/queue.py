"""Which jobs wait for a slot, read without the rest of their rows."""

import sqlite3
from collections import Counter

from milepost.core import queueing
from milepost.core.queueing import Queued
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
    ahead: Counter[str] = Counter()
    result = {}
    for job in queueing.in_order(queued(db)):
        ahead[job.queue] += 1
        result[job.job_id] = ahead[job.queue]
    return result
