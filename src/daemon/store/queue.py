"""Which jobs wait for a slot, read without the rest of their rows."""

import sqlite3
from collections import Counter

from milepost.core import queueing
from milepost.core.queueing import Queued
from milepost.daemon.store.queries import load

_QUERIES = load("queue")


def places(db: sqlite3.Connection) -> dict[str, int]:
    """Place of each queued job within its queue, from 1."""
    queued = [
        Queued(row["id"], row["queue"], row["priority"], row["queue_time"], row["sequence"])
        for row in db.execute(_QUERIES.queued).fetchall()
    ]
    ahead: Counter[str] = Counter()
    result = {}
    for job in queueing.in_order(queued):
        ahead[job.queue] += 1
        result[job.job_id] = ahead[job.queue]
    return result
