"""What long tasks keep between executions (`task.save`)."""

import sqlite3
from collections.abc import Iterable, Sequence

from milepost.core.model import TaskRef
from milepost.daemon.store import rows
from milepost.daemon.store.group_commit import Transaction
from milepost.daemon.store.queries import load

_QUERIES = load("saved")


def put(tx: Transaction, job_id: str, ref: TaskRef, state_json: str) -> bool:
    """Keeps the state until the task ends. False, and nothing changes, when the task no longer counts."""
    sequence = rows.sequence_of(tx.connection, job_id)
    values = {"job": sequence, "step": ref.step, "item": ref.item, "epoch": ref.epoch, "state_json": state_json}
    return tx.execute(_QUERIES.put, values).rowcount == 1


def any_of(db: sqlite3.Connection, sequences: Sequence[int]) -> list[int]:
    """The jobs of these that keep any: most never do, and need not look for them task by task."""
    return [row[0] for row in db.execute(_QUERIES.any_of, (rows.dump(sequences),))]


def states(db: sqlite3.Connection, sequence: int, step: int, items: Sequence[int]) -> dict[int, str]:
    """What the tasks of these items at this step have kept, by item, as JSON."""
    found = db.execute(_QUERIES.states, {"job": sequence, "step": step, "items": rows.dump(items)})
    return dict(found.fetchall())


def forget(tx: Transaction, sequence: int, step: int, items: Iterable[int]) -> None:
    """A task that ended leaves no state behind."""
    tx.executemany(_QUERIES.forget, [(sequence, step, item) for item in items])
