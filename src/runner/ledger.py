"""What the runner was handed: tasks that wait and attempts that execute. What has ended is in the outbox."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Iterable
from enum import Enum, auto
from typing import TYPE_CHECKING

import msgspec

from milepost.v1 import runner_service_pb2 as pb

if TYPE_CHECKING:
    from milepost.runner.worker import Worker

_LISTED_ATTEMPTS = 100


class Ref(msgspec.Struct, frozen=True, gc=False, cache_hash=True):
    """Names a task to the daemon."""

    step: int
    item: int
    epoch: int

    def message(self) -> pb.TaskRef:
        return pb.TaskRef(step=self.step, item=self.item, epoch=self.epoch)


class HeldTask(msgspec.Struct, eq=False, gc=False):
    """`previous` is the results of earlier steps, as JSON by the step's name."""

    ref: Ref
    key: str
    position: int
    payload_json: str
    attempts_used: int = 0
    lost: int = 0
    saved_json: str = ""
    previous: dict[str, str] = {}  # a new one for each (msgspec copies it)
    is_void: bool = False


class Ending(Enum):
    """Why an attempt that executes is being ended by the runner."""

    TIMED_OUT = auto()
    STOPPED = auto()
    VOID = auto()


class Attempt(msgspec.Struct, eq=False):
    """One execution of a task, in a worker or as a process of the runner's own (`work`)."""

    id: int
    task: HeldTask
    start_us: int
    #: When it began or last showed that it gets on (monotonic).
    progress_time: float
    #: Of a step that gives many: what its execution is known by, and how many children it has given in chunks.
    enumeration: int
    enumerated: int = 0
    worker: "Worker | None" = None
    work: asyncio.Task[None] | None = None
    timer: asyncio.TimerHandle | None = None
    ending: Ending | None = None

    def gets_on(self) -> None:
        """It saved a state, gave children, or asked for what it gathers."""
        self.progress_time = time.monotonic()


class Ledger:
    """`held` is every task that waits or executes; `attempts` those that execute, the longest-running first."""

    def __init__(self) -> None:
        self.held: dict[Ref, HeldTask] = {}
        self.attempts: dict[int, Attempt] = {}
        self.running = Counter[int]()
        self._numbers = itertools.count(1)

    def hold(self, tasks: Iterable[HeldTask]) -> list[HeldTask]:
        """Those of them that were not held already."""
        new = {task.ref: task for task in tasks if task.ref not in self.held}
        self.held.update(new)
        return list(new.values())

    def begin(self, step: int, tasks: Iterable[HeldTask], worker: "Worker | None" = None) -> list[Attempt]:
        """Of tasks of one step."""
        start_us, now = now_us(), time.monotonic()
        begun = [Attempt(next(self._numbers), task, start_us, now, start_us, worker=worker) for task in tasks]
        self.attempts.update([(attempt.id, attempt) for attempt in begun])
        self.running[step] += len(begun)
        return begun

    def end(self, attempts: Iterable[Attempt]) -> None:
        """Their tasks are not held any more."""
        for attempt in attempts:
            task = attempt.task
            del self.attempts[attempt.id]
            self.running[task.ref.step] -= 1
            if attempt.timer is not None:
                attempt.timer.cancel()
            if not task.is_void:
                del self.held[task.ref]

    def void(self, refs: Iterable[Ref]) -> list[Attempt]:
        """Drops these tasks; returns the attempts among them, which still execute."""
        dropped = {ref for ref in refs if ref in self.held}
        executing = [attempt for attempt in self.attempts.values() if attempt.task.ref in dropped] if dropped else []
        for ref in dropped:
            self.held.pop(ref).is_void = True
        return executing

    def waiting(self) -> list[HeldTask]:
        executing = {attempt.task.ref for attempt in self.attempts.values()}
        return [task for ref, task in self.held.items() if ref not in executing]

    def release_waiting(self) -> None:
        """The daemon still has them as pending."""
        for task in self.waiting():
            del self.held[task.ref]

    def longest_running(self) -> list[pb.RunningTask]:
        now = time.monotonic()
        return [
            pb.RunningTask(
                task=attempt.task.ref.message(),
                item_key=attempt.task.key,
                attempt=attempt.task.attempts_used + 1,
                start_us=attempt.start_us,
                quiet_seconds=now - attempt.progress_time,
                worker_pid=attempt.worker.identity.pid if attempt.worker and attempt.worker.identity else 0,
            )
            for attempt in itertools.islice(self.attempts.values(), _LISTED_ATTEMPTS)
        ]


def now_us() -> int:
    return time.time_ns() // 1000
