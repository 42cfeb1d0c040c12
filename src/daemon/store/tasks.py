"""Tasks that wait: pages for runners, retries that come due, whether a task handed out still counts."""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable

import msgspec

from milepost.core.definition import PipelineDefinition
from milepost.core.model import PendingTask, TaskRef
from milepost.daemon.store import rows, saved
from milepost.daemon.store.group_commit import Transaction
from milepost.daemon.store.queries import load

_QUERIES = load("tasks")
_PENDING = msgspec.json.Decoder(list[PendingTask])


def pending(
    db: sqlite3.Connection, job_id: str, definition: PipelineDefinition, step: int, after_item: int, limit: int
) -> list[PendingTask]:
    """Tasks of one step that wait to be executed, in order of items, after this item (-1: from the first).

    With the results of earlier steps of the same item, and what task.save() kept.
    """
    sequence = rows.sequence_of(db, job_id)
    place = {"job": sequence, "step": step, "after": after_item, "limit": limit}
    found = _PENDING.decode(db.execute(_QUERIES.pending, place).fetchone()[0])
    earlier = definition.steps_before(step)
    if not found or not (earlier or saved.any_of(db, [sequence])):
        return found
    items = [task.item for task in found]
    previous = _results_before(db, sequence, earlier, items)
    states = saved.states(db, sequence, step, items)
    return [
        task._replace(previous=tuple(previous.get(task.item, ())), saved_json=states.get(task.item, ""))
        for task in found
    ]


def _results_before(
    db: sqlite3.Connection, sequence: int, steps: list[int], items: list[int]
) -> dict[int, list[tuple[int, str]]]:
    results: dict[int, list[tuple[int, str]]] = defaultdict(list)
    wanted = {"job": sequence, "steps": rows.dump(steps), "items": rows.dump(items)}
    for row in db.execute(_QUERIES.results_before, wanted).fetchall():
        results[row["item"]].append((row["step"], row["result_json"]))
    return results


def pending_steps(db: sqlite3.Connection, job_id: str) -> list[int]:
    """Positions of the steps that have a PENDING item, ascending."""
    sequence = rows.sequence_of(db, job_id)
    return [row["position"] for row in db.execute(_QUERIES.pending_steps, (sequence,)).fetchall()]


def release_due(tx: Transaction, now: float) -> set[str]:
    """Retries whose time has come wait for execution again. Returns the ids of their jobs."""
    released = set()
    for (sequence,) in tx.execute(_QUERIES.jobs_retrying).fetchall():
        due = tx.execute(_QUERIES.due, (sequence, now)).fetchall()
        if not due:
            continue
        tx.execute(_QUERIES.release_due, (sequence, now))
        tx.executemany(_QUERIES.count_released, [(row["count"], sequence, row["step"]) for row in due])
        job_id = str(tx.execute(_QUERIES.job_id, (sequence,)).fetchone()["id"])
        tx.touch(job_id)
        released.add(job_id)
    return released


def next_due(db: sqlite3.Connection) -> float | None:
    """Time of the next retry of any job."""
    due: float | None = db.execute(_QUERIES.next_due).fetchone()[0]
    return due


def still_current(db: sqlite3.Connection, job_id: str, refs: Iterable[TaskRef]) -> set[TaskRef]:
    """Those of the tasks that a report would still apply to."""
    sequence = rows.sequence_of(db, job_id)

    def stands(ref: TaskRef) -> bool:
        row = db.execute(_QUERIES.standing, (sequence, ref.item)).fetchone()
        return row is not None and (row["step"], row["epoch"]) == (ref.step, ref.epoch)

    return {ref for ref in refs if stands(ref)}
