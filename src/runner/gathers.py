"""Pages that a worker's "all" step asks for. A request outlives the stream: it is sent again after a reconnect."""

import itertools
from collections import deque
from collections.abc import Callable

from milepost.runner.frames import Gather
from milepost.runner.ledger import Attempt
from milepost.runner.worker import Worker
from milepost.v1 import job_pb2
from milepost.v1 import runner_service_pb2 as pb


class Gathers:
    """Requests that are not answered yet."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._numbers = itertools.count(1)
        self._open: dict[int, tuple[pb.GatherRequest, Worker, int]] = {}
        self._unsent: deque[int] = deque()

    def ask(self, worker: Worker, attempt: Attempt, asked: Gather) -> None:
        number = next(self._numbers)
        request = pb.GatherRequest(request=number, task=attempt.task.ref.message(), cursor=asked.cursor)
        self._open[number] = (request, worker, asked.request)
        self._unsent.append(number)
        attempt.gets_on()
        self._wake()

    def next_request(self) -> pb.GatherRequest | None:
        while self._unsent:
            waiting = self._open.get(self._unsent.popleft())
            if waiting is not None:
                return waiting[0]
        return None

    def send_again(self) -> None:
        self._unsent = deque(self._open)

    def answer(self, page: pb.GatherPage, step_names: list[str]) -> None:
        waiting = self._open.pop(page.request, None)
        if waiting is None:
            return
        _, worker, request = waiting
        worker.send(
            {
                "type": "answer",
                "request": request,
                "rows": [_row(row, step_names) for row in page.rows],
                "next": page.next_cursor,
                "error": page.error,
            }
        )

    def forget(self, worker: Worker) -> None:
        """It has died and waits for nothing."""
        self._open = {number: waiting for number, waiting in self._open.items() if waiting[1] is not worker}


def _row(row: pb.GatherRow, step_names: list[str]) -> list[object]:
    return [
        row.item,
        row.key,
        row.payload_json,
        job_pb2.Outcome.Name(row.outcome).removeprefix("OUTCOME_"),
        row.label,
        {step_names[result.step]: result.result_json for result in row.results},
        row.error_class,
        row.error_message,
        row.step,
    ]
