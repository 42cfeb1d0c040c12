"""What long tasks keep between executions (`task.save`)."""

from milepost.core.model import TaskRef
from milepost.daemon.store.store import Transaction


def put(tx: Transaction, job_id: str, ref: TaskRef, state_json: str) -> bool:
    """Keeps the state until the task ends. False, and nothing changes, when the task no longer counts."""
    raise NotImplementedError
