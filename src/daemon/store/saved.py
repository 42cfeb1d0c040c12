"""What long tasks keep between executions (`task.save`)."""

from milepost.core.model import TaskRef
from milepost.daemon.store import rows
from milepost.daemon.store.queries import load
from milepost.daemon.store.store import Transaction

_QUERIES = load("saved")


def put(tx: Transaction, job_id: str, ref: TaskRef, state_json: str) -> bool:
    """Keeps the state until the task ends. False, and nothing changes, when the task no longer counts."""
    sequence = rows.sequence_of(tx.connection, job_id)
    values = {"job": sequence, "step": ref.step, "item": ref.item, "epoch": ref.epoch, "state_json": state_json}
    return tx.execute(_QUERIES.put, values).rowcount == 1
