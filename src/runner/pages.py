"""Tasks as they come from the daemon: a page has them in columns."""

from collections.abc import Sequence

from milepost.runner.ledger import HeldTask, Ref
from milepost.v1 import runner_service_pb2 as pb


def held_tasks(page: pb.Page, step_names: Sequence[str]) -> list[HeldTask]:
    # A slice is a list: one call for a column, not one for each of its values.
    columns = zip(page.items[:], page.epochs[:], page.keys[:], page.positions[:], page.payloads_json[:], strict=True)
    step = page.step
    tasks = [
        HeldTask(Ref(step, item, epoch), key, position, payload) for item, epoch, key, position, payload in columns
    ]
    for history in page.histories:
        task = tasks[history.index]
        task.attempts_used, task.lost, task.saved_json = history.attempts_used, history.lost, history.saved_json
        task.previous = {step_names[earlier.step]: earlier.result_json for earlier in history.previous}
    return tasks
