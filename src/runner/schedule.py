"""Which of the held tasks starts next: the deepest step first, so that work in progress stays small, then position.

Tasks wait in lanes. A lane is a step, and whether its tasks run alone: one whose worker has died under it must not take
others with it a second time.
"""

import heapq
import itertools
import os
from collections.abc import Iterator
from typing import NamedTuple

from milepost.core.definition import Executor, StepDefinition
from milepost.runner.ledger import HeldTask

#: Losses from which on a task runs alone in a worker.
SUSPECT = 1

#: How many tasks of a step run at once when the pipeline does not say.
_ASYNC_CONCURRENCY = 256
_THREAD_CONCURRENCY = 32


class Lane(NamedTuple):
    step: int
    alone: bool


class Schedule:
    """The tasks that wait. Each operation costs a logarithm of their number at most."""

    def __init__(self) -> None:
        self._lanes: dict[Lane, list[tuple[int, int, HeldTask]]] = {}
        self._arrival = itertools.count()

    def add(self, task: HeldTask) -> None:
        lane = self._lanes.setdefault(Lane(task.ref.step, task.lost >= SUSPECT), [])
        heapq.heappush(lane, (task.position, next(self._arrival), task))

    def lanes(self) -> list[Lane]:
        """Those where tasks wait, the deepest step first."""
        return sorted((lane for lane, waiting in self._lanes.items() if waiting), reverse=True)

    def waiting(self, lane: Lane) -> int:
        return len(self._lanes[lane])

    def take(self, lane: Lane, count: int) -> Iterator[HeldTask]:
        """The next ones of a lane, at most `count`; void ones are dropped on the way."""
        waiting = self._lanes[lane]
        while waiting and count > 0:
            task = heapq.heappop(waiting)[2]
            if not task.is_void:
                count -= 1
                yield task

    def clear(self) -> None:
        self._lanes.clear()


def concurrency(step: StepDefinition) -> int:
    """How many tasks of this step may run at once."""
    match step.executor:
        case Executor.PROCESS:
            processes = max(1, step.workers)
            return min(processes, step.concurrency or processes)
        case Executor.COMMAND:
            return step.concurrency or os.cpu_count() or 1
        case Executor.THREAD:
            return step.concurrency or _THREAD_CONCURRENCY
        case Executor.ASYNC:
            return step.concurrency or _ASYNC_CONCURRENCY


def threads(steps: tuple[StepDefinition, ...]) -> int:
    """Threads that the shared worker needs so that no task it was given waits for one."""
    return sum(concurrency(step) for step in steps if step.executor is Executor.THREAD)
