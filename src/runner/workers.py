"""The workers of a run: started when tasks wait for them, listened to, looked after, ended."""

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterator

from milepost.common.processes import ending_words
from milepost.core.definition import Executor
from milepost.runner import frames
from milepost.runner.children import Children
from milepost.runner.endings import MemoryKills, lost_worker
from milepost.runner.frames import FromWorker, OfTasks, Pong, Ready
from milepost.runner.inspection import Inspectable
from milepost.runner.job import Job
from milepost.runner.mistake import Mistake
from milepost.runner.pool import Pool
from milepost.runner.schedule import Lane
from milepost.runner.worker import Worker
from milepost.v1 import runner_service_pb2 as pb

_LOG = logging.getLogger(__name__)

#: Seconds that a worker may owe an answer before the daemon hears of it.
SILENCE = 1.0
#: Workers in a row that may end before they were ready, until the pipeline is held to be unusable.
_MAX_FAILED_STARTS = 3
#: Tasks whose worker has died under them run each alone in one of at most so many processes.
_SUSPECTS_AT_ONCE = 4


class Workers:
    """`on_frame` hears what a worker says of its tasks, `on_ended` why what it was executing is lost.

    That is None when the runner ended the worker. `on_change` is called when something may start, `on_mistake` at most
    a few times.
    """

    def __init__(
        self,
        job: Job,
        children: Children,
        group: asyncio.TaskGroup,
        on_frame: Callable[[Worker, OfTasks], None],
        on_ended: Callable[[Worker, pb.TaskFailure | None], None],
        on_change: Callable[[], None],
        on_mistake: Callable[[Mistake], None],
    ) -> None:
        self._job = job
        self._children = children
        self._group = group
        self._on_frame = on_frame
        self._on_ended = on_ended
        self._on_change = on_change
        self._on_mistake = on_mistake
        self._shared = Pool(1, None, self._start)
        self._alone = Pool(_SUSPECTS_AT_ONCE, 1, self._start)
        self._by_step = {
            step.position: Pool(max(1, step.workers), 1, self._start)
            for step in job.definition.steps
            if step.executor is Executor.PROCESS
        }
        self._lives: dict[Worker, asyncio.Task[None]] = {}
        self._numbers = itertools.count(1)
        self._failed_starts = 0
        self._memory_kills = MemoryKills()

    def prepare(self) -> None:
        """Starts the shared worker, so that an author's mistake shows before the first task arrives."""
        if any(step.executor in (Executor.ASYNC, Executor.THREAD) for step in self._job.definition.steps):
            self._shared.grow(1)

    def places(self, lane: Lane, wanted: int) -> Iterator[tuple[Worker, int]]:
        """Workers for tasks of this lane, and how many to send to each: `wanted` in all, or less. More are started."""
        pool = self._alone if lane.alone else self._by_step.get(lane.step, self._shared)
        if self._failed_starts < _MAX_FAILED_STARTS:
            pool.grow(wanted)
        return pool.places(wanted)

    def tell_stopping(self, reason: str) -> None:
        """What `task.should_stop()` tells from now on; an empty reason takes it back."""
        for worker in self._lives:
            worker.send({"type": "stopping", "reason": reason})

    def settle(self) -> None:
        """After it nothing is to start: `is_settled` tells when what was sent to the workers before has begun."""
        for worker in self._lives:
            if worker.is_ready:
                worker.settle()

    @property
    def is_settled(self) -> bool:
        return all(worker.is_settled for worker in self._lives)

    def kill(self, worker: Worker) -> None:
        if not worker.is_killed:
            worker.is_killed = True
            self._group.create_task(worker.kill())

    def will_be_killed(self) -> None:
        """The runner kills everything below it: what they execute is handed back, not lost."""
        for worker in self._lives:
            worker.is_killed = True

    async def close(self) -> None:
        """Ends them, politely first. Nothing may be executing."""
        await asyncio.gather(*(worker.end(life) for worker, life in list(self._lives.items())))

    def look(self) -> None:
        """Each second."""
        self._memory_kills.look()
        now = asyncio.get_running_loop().time()
        for worker in self._lives:
            worker.look(now)

    def silent(self) -> list[pb.SilentWorker]:
        """Those that owe an answer, unless the runner is just ending them."""
        return [
            pb.SilentWorker(
                pid=worker.identity.pid,
                silent_seconds=worker.silence,
                task_count=len(worker.attempts),
                starting=not worker.is_ready,
            )
            for worker in self._lives
            if worker.silence >= SILENCE and worker.identity is not None and not worker.is_killed
        ]

    def inspectable(self) -> list[Inspectable]:
        return [
            Inspectable(worker.number, worker.identity, self._job.stacks_file(worker.number))
            for worker in self._lives
            if worker.is_ready and worker.identity is not None
        ]

    def _start(self, pool: Pool) -> Worker:
        worker = Worker(next(self._numbers))
        self._lives[worker] = self._group.create_task(self._live(worker, pool))
        return worker

    async def _live(self, worker: Worker, pool: Pool) -> None:
        code = 0
        try:
            code = await worker.run(self._children, self._job.launch(worker.number), self._hear)
            how = ending_words(code)
        except OSError as error:
            how = f"could not be started: {error.strerror}"
            self._failed_starts = _MAX_FAILED_STARTS
            self._on_mistake(
                Mistake(
                    f"No worker can be started: {error.filename or self._job.python}: {error.strerror}.",
                    "See that the interpreter and the working directory that were recorded with the job are there.",
                )
            )
        self._job.remove_stacks_file(worker.number)
        del self._lives[worker]
        pool.remove(worker)
        if not worker.is_killed:
            _LOG.warning("worker %d %s, %d tasks in flight", worker.number, how, len(worker.attempts))
        if not worker.is_ready and not worker.is_killed:
            self._count_failed_start(how)
        self._on_ended(worker, self._loss(worker, code))
        self._on_change()

    def _hear(self, worker: Worker, frame: FromWorker) -> None:
        """Raises FrameError."""
        match frame:
            case Ready():
                worker.ready()
                self._failed_starts = 0
                self._on_change()
            case Pong():
                worker.pong(frame.n)
                self._on_change()
            case frames.Mistake():
                self._failed_starts = _MAX_FAILED_STARTS
                self._on_mistake(Mistake.from_frame(frame))
            case _:
                self._on_frame(worker, frame)

    def _loss(self, worker: Worker, code: int) -> pb.TaskFailure | None:
        if worker.is_killed or worker.identity is None:
            return None
        in_flight, memory_ran_out = len(worker.attempts), self._memory_kills.happened
        return lost_worker(worker.identity.pid, code, in_flight, worker.offence, memory_ran_out)

    def _count_failed_start(self, how: str) -> None:
        self._failed_starts += 1
        if self._failed_starts == _MAX_FAILED_STARTS:
            self._on_mistake(
                Mistake(
                    f"The pipeline's worker {how} before it was ready, {_MAX_FAILED_STARTS} times.",
                    f"See the run's log, and whether {self._job.python} works in {self._job.working_directory}.",
                )
            )
