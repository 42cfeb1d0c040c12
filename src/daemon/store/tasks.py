"""Tasks that wait: pages for runners, retries that come due, whether a task handed out still counts."""

import sqlite3
from collections.abc import Iterable

from milepost.core.model import PendingTask, TaskRef
from milepost.daemon.store.store import Transaction


def pending(db: sqlite3.Connection, job_id: str, step: int, after_item: int, limit: int) -> list[PendingTask]:
    """Tasks of one step that wait to be executed, in order of items, after this item (-1: from the first).

    With the results of earlier steps of the same item, and what task.save() kept.
    """
    raise NotImplementedError


def pending_steps(db: sqlite3.Connection, job_id: str) -> list[int]:
    """Positions of the steps that have a PENDING item, ascending."""
    raise NotImplementedError


def release_due(tx: Transaction, now: float) -> set[str]:
    """Retries whose time has come wait for execution again. Returns the ids of their jobs."""
    raise NotImplementedError


def next_due(db: sqlite3.Connection) -> float | None:
    """Time of the next retry of any job."""
    raise NotImplementedError


def still_current(db: sqlite3.Connection, job_id: str, refs: Iterable[TaskRef]) -> set[TaskRef]:
    """Those of the tasks that a report would still apply to."""
    raise NotImplementedError
