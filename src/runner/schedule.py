"""Which of the held tasks starts next: the deepest step first, so that work in progress stays small, then position.

Tasks wait in lanes. A lane is a step, and whether its tasks run alone: one whose worker has died under it must not take
others with it a second time.
"""

import heapq
import itertools
import os
import resource
from collections import defaultdict, deque
from collections.abc import Iterable

import msgspec

from milepost.core.definition import Executor, StepDefinition
from milepost.runner.ledger import HeldTask

#: Losses from which on a task runs alone in a worker.
SUSPECT = 1

#: How many tasks of a step run at once when the pipeline does not say.
_ASYNC_CONCURRENCY = 256
_THREAD_CONCURRENCY = 32
#: Files that a command keeps open in the runner, its output and its process, and those that are open anyway.
_FILES_EACH, _OTHER_FILES = 2, 64


class Lane(msgspec.Struct, frozen=True, order=True, gc=False):
    step: int
    alone: bool


class _Waiting:
    """Those of a lane. Most come in the order of their positions; the heap is for those that do not."""

    def __init__(self) -> None:
        self._in_order: deque[HeldTask] = deque()
        self._late: list[tuple[int, int, HeldTask]] = []
        self._arrival = itertools.count()

    def __len__(self) -> int:
        return len(self._in_order) + len(self._late)

    def add(self, task: HeldTask) -> None:
        if not self._in_order or task.position >= self._in_order[-1].position:
            self._in_order.append(task)
        else:
            heapq.heappush(self._late, (task.position, next(self._arrival), task))

    def pop(self) -> HeldTask:
        if self._late and (not self._in_order or self._late[0][0] < self._in_order[0].position):
            return heapq.heappop(self._late)[2]
        return self._in_order.popleft()


class Schedule:
    """The tasks that wait. Each operation costs a logarithm of their number at most."""

    def __init__(self) -> None:
        self._lanes: defaultdict[Lane, _Waiting] = defaultdict(_Waiting)

    def add(self, tasks: Iterable[HeldTask]) -> None:
        for (step, alone), alike in itertools.groupby(tasks, _lane):
            waiting = self._lanes[Lane(step, alone)]
            for task in alike:
                waiting.add(task)

    def lanes(self) -> list[Lane]:
        """Those where tasks wait, the deepest step first."""
        return sorted((lane for lane, waiting in self._lanes.items() if waiting), reverse=True)

    def waiting(self, lane: Lane) -> int:
        return len(self._lanes[lane])

    def take(self, lane: Lane, count: int) -> list[HeldTask]:
        """The next ones of a lane, at most `count`; void ones are dropped on the way."""
        waiting = self._lanes[lane]
        taken: list[HeldTask] = []
        while waiting and len(taken) < count:
            task = waiting.pop()
            if not task.is_void:
                taken.append(task)
        return taken

    def clear(self) -> None:
        self._lanes.clear()


def _lane(task: HeldTask) -> tuple[int, bool]:
    return task.ref.step, task.lost >= SUSPECT


def concurrency(step: StepDefinition) -> int:
    """How many tasks of this step may run at once."""
    match step.executor:
        case Executor.PROCESS:
            processes = max(1, step.workers)
            return min(processes, step.concurrency or processes)
        case Executor.COMMAND:
            return min(step.concurrency or os.cpu_count() or 1, most_commands())
        case Executor.THREAD:
            return step.concurrency or _THREAD_CONCURRENCY
        case Executor.ASYNC:
            return step.concurrency or _ASYNC_CONCURRENCY


def most_commands() -> int:
    """How many commands may run at once before the runner would have too many open files."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, (limit - _OTHER_FILES) // _FILES_EACH)


def threads(steps: tuple[StepDefinition, ...]) -> int:
    """Threads that the shared worker needs so that no task it was given waits for one."""
    return sum(concurrency(step) for step in steps if step.executor is Executor.THREAD)
