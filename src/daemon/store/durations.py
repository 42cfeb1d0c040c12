"""How long tasks of a step have taken, as far as that helps to tell one that takes too long."""

import sqlite3

from milepost.daemon.store import rows
from milepost.daemon.store.queries import load

_QUERIES = load("durations")
#: Records that a step's longest duration is taken from.
LEARNED_FROM = 1000


def longest(db: sqlite3.Connection, job_id: str, step: int) -> float | None:
    """Seconds that the longest of the last completed tasks of a step took; None when none has completed."""
    found = db.execute(_QUERIES.longest, (rows.sequence_of(db, job_id), step, LEARNED_FROM)).fetchone()
    return None if found[0] is None else float(found[0])
