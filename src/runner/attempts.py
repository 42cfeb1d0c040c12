"""Executing: sends held tasks to where they run, hears how each attempt ends, and reports it."""

import asyncio
import logging
import os
from collections import defaultdict
from collections.abc import Callable, Iterable

from milepost.common.processes import identify, kill_tree
from milepost.common.wire.runner import COMPLETED
from milepost.core.definition import Executor, Gives, StepDefinition
from milepost.runner import frames
from milepost.runner.children import Children
from milepost.runner.command_steps import CommandSteps
from milepost.runner.frames import Done, Earlier, Ended, FrameError, Gather, Items, OfTasks, Result, Save, Tasks
from milepost.runner.gathers import Gathers
from milepost.runner.job import Job
from milepost.runner.ledger import Attempt, Ending, HeldTask, Ledger, Ref, now_us
from milepost.runner.mistake import Mistake
from milepost.runner.outbox import Alike, Completed, Outbox
from milepost.runner.schedule import Lane, Schedule, concurrency
from milepost.runner.text import printable
from milepost.runner.worker import Worker
from milepost.runner.workers import Workers
from milepost.v1 import runner_service_pb2 as pb

_LOG = logging.getLogger(__name__)

#: Nothing new starts while this much waits for the daemon: what executes can still add to it, so memory is bounded.
MAX_UNDELIVERED = 32 * 1024 * 1024

#: The item of a job that its one-item steps and gathers work on.
_ROOT = 0
#: Seconds in which a cancelled task must have ended before its worker is killed.
_CANCEL_GRACE = 2.0
_KILL_DEADLINE = 10.0
#: Characters of the texts in a frame of tasks, but for a single task that has more: each may take four bytes.
_FRAME_SIZE = 3 * 1024 * 1024


class Attempts:
    """`on_change` is called when something may start or may have come to an end, `on_mistake` at most a few times.

    `workers` are those that it starts tasks in.
    """

    def __init__(
        self,
        job: Job,
        ledger: Ledger,
        outbox: Outbox,
        gathers: Gathers,
        children: Children,
        group: asyncio.TaskGroup,
        on_change: Callable[[], None],
        on_mistake: Callable[[Mistake], None],
    ) -> None:
        self._job = job
        self._steps = job.definition.steps
        self._gives_many = [step.gives is Gives.MANY for step in self._steps]
        self._following = [job.definition.continues_in_runner(step.position) for step in self._steps]
        self._ledger = ledger
        self._schedule = Schedule()
        self._outbox = outbox
        self._gathers = gathers
        self._group = group
        self._on_change = on_change
        self._commands = CommandSteps(job, children, outbox)
        self.workers = Workers(job, children, group, self._on_frame, self._end_attempts, on_change, on_mistake)

    # What the run asks for.

    def hold(self, tasks: Iterable[HeldTask]) -> None:
        self._schedule.add(self._ledger.hold(tasks))

    def start_waiting(self) -> None:
        """Starts what can start now."""
        if self._outbox.bytes > MAX_UNDELIVERED:
            return
        for lane in self._schedule.lanes():
            step = self._steps[lane.step]
            room = min(concurrency(step) - self._ledger.running[lane.step], self._schedule.waiting(lane))
            if room > 0 and step.executor is Executor.COMMAND:
                self._start_commands(lane, room)
            elif room > 0:
                self._start_in_workers(lane, room, step)

    def void(self, refs: Iterable[Ref]) -> None:
        """Drops these tasks; those that execute are ended and not reported."""
        for attempt in self._ledger.void(refs):
            attempt.ending = Ending.VOID
            if attempt.work is not None:
                attempt.work.cancel()
            elif attempt.worker is not None:
                self._end_in_worker(attempt, attempt.worker, "It was taken back.")

    def release_waiting(self) -> None:
        self._schedule.clear()
        self._ledger.release_waiting()

    async def stop(self) -> None:
        """Kills everything that executes; it is reported as returned."""
        for attempt in self._ledger.attempts.values():
            attempt.ending = attempt.ending or Ending.STOPPED
            if attempt.work is not None:
                attempt.work.cancel()
        self.workers.will_be_killed()
        left = await asyncio.to_thread(kill_tree, self._job.run.mark, identify(os.getpid()), _KILL_DEADLINE)
        if left:
            _LOG.error("these processes do not end: %s", [process.pid for process in left])

    # Starting.

    def _start_commands(self, lane: Lane, room: int) -> None:
        for attempt in self._ledger.begin(lane.step, self._schedule.take(lane, room)):
            attempt.work = self._group.create_task(self._execute_command(attempt))

    def _start_in_workers(self, lane: Lane, room: int, step: StepDefinition) -> None:
        for worker, places in self.workers.places(lane, room):
            begun = self._ledger.begin(lane.step, self._schedule.take(lane, places), worker)
            self._send(worker, begun, step)

    def _send(self, worker: Worker, attempts: list[Attempt], step: StepDefinition) -> None:
        worker.attempts.update([(attempt.id, attempt) for attempt in attempts])
        if step.timeout is not None:
            loop = asyncio.get_running_loop()
            for attempt in attempts:
                attempt.timer = loop.call_later(step.timeout, self._time_out, attempt, worker)
        if attempts:
            self._send_frames(worker, attempts, step)

    def _send_frames(self, worker: Worker, attempts: list[Attempt], step: StepDefinition) -> None:
        """None is larger than a frame may be, except for one of a single task."""
        tasks = [attempt.task for attempt in attempts]
        keys, payloads = [task.key for task in tasks], [task.payload_json for task in tasks]
        earlier = [
            Earlier(index, task.attempts_used + 1, task.previous, task.saved_json)
            for index, task in enumerate(tasks)
            if task.attempts_used or task.previous or task.saved_json
        ]
        size = sum(map(len, keys)) + sum(map(len, payloads)) + sum(one.size for one in earlier)
        if size > _FRAME_SIZE and len(attempts) > 1:
            middle = len(attempts) // 2
            self._send_frames(worker, attempts[:middle], step)
            self._send_frames(worker, attempts[middle:], step)
            return
        frame = Tasks(
            step.name,
            self._job.step_folders[step.position],
            [attempt.id for attempt in attempts],
            [task.ref.item for task in tasks],
            keys,
            earlier,
        )
        worker.send_tasks(frame, payloads)

    async def _execute_command(self, attempt: Attempt) -> None:
        try:
            result = await self._commands.execute(attempt)
        except asyncio.CancelledError:
            if attempt.ending is None:
                raise  # not this attempt is being ended, but the whole run
            result = _result(attempt, pb.REPORT_KIND_RETURNED)
        self._finish(attempt, result)
        self._on_change()

    # Ending.

    def _finish(self, attempt: Attempt, result: Result) -> None:
        self._ledger.end([attempt])
        if attempt.ending is Ending.VOID:
            return
        if attempt.ending is Ending.TIMED_OUT and result.kind not in COMPLETED:
            result = _result(attempt, pb.REPORT_KIND_FAILED, self._timeout_failure(attempt))
        ref = attempt.task.ref
        if self._gives_many[ref.step]:
            result.enumeration, result.enumerated = attempt.enumeration, attempt.enumerated
        if result.failure is not None and result.kind == pb.REPORT_KIND_FAILED:
            self._tell_failure(attempt, result.failure)
        self._outbox.report(ref, result)
        following = self._following[ref.step]
        if result.kind == pb.REPORT_KIND_SUCCEEDED and following is not None:
            self.hold([self._next(attempt.task, result.result_json, following)])

    def _finish_alike(self, attempts: list[Attempt], done: Done) -> None:
        """As `_finish`, of tasks that completed and gave one result."""
        self._ledger.end(attempts)
        kind = frames.kind(done)
        alike: defaultdict[tuple[int, int], list[Completed]] = defaultdict(list)
        going_on: list[HeldTask] = []
        rows = zip(attempts, done.texts, done.start_us, done.end_us, strict=True)
        for attempt, result_json, start_us, end_us in rows:
            if attempt.ending is Ending.VOID:
                continue
            ref = attempt.task.ref
            alike[ref.step, ref.epoch].append((ref, result_json, start_us, end_us, ""))
            following = self._following[ref.step]
            if following is not None and kind == pb.REPORT_KIND_SUCCEEDED:
                going_on.append(self._next(attempt.task, result_json, following))
        for (step, epoch), completed in alike.items():
            self._outbox.complete(Alike(step, epoch, kind, done.label), completed)
        self.hold(going_on)

    def _tell_failure(self, attempt: Attempt, failure: pb.TaskFailure) -> None:
        """A line in the log for each; with its traceback where the whole job stands on it."""
        task = attempt.task
        name = printable(f"{self._steps[task.ref.step].name} {task.key}".strip())
        what = printable(f"{failure.error_class}: {failure.message}")
        _LOG.warning("%s failed, attempt %d: %s", name, task.attempts_used + 1, what)
        if task.ref.item == _ROOT and failure.traceback:
            _LOG.warning("%s", failure.traceback)

    def _next(self, task: HeldTask, result_json: str, following: int) -> HeldTask:
        """The item's next task: the daemon knows that the runner takes it there without asking."""
        name = self._steps[task.ref.step].name
        return HeldTask(
            ref=Ref(following, task.ref.item, task.ref.epoch),
            key=task.key,
            position=task.position,
            payload_json=task.payload_json,
            previous={**task.previous, name: result_json} if result_json else task.previous,
        )

    def _time_out(self, attempt: Attempt, worker: Worker) -> None:
        attempt.ending = attempt.ending or Ending.TIMED_OUT
        self._end_in_worker(attempt, worker, "It timed out.", certain=True)

    def _end_in_worker(self, attempt: Attempt, worker: Worker, reason: str, *, certain: bool = False) -> None:
        """A coroutine is cancelled, a process killed. A thread ends only with its worker: when it must be `certain`."""
        executor = self._steps[attempt.task.ref.step].executor
        if executor is Executor.PROCESS or (executor is Executor.THREAD and certain):
            self.workers.kill(worker)
            return
        worker.send({"type": "cancel", "ids": [attempt.id], "reason": reason})
        if certain:
            loop = asyncio.get_running_loop()
            attempt.timer = loop.call_later(_CANCEL_GRACE, self.workers.kill, worker)

    def _timeout_failure(self, attempt: Attempt) -> pb.TaskFailure:
        step = self._steps[attempt.task.ref.step]
        return pb.TaskFailure(
            error_class="timeout",
            message=f"It did not end within {step.timeout or 0:g} s.",
            remedy="Give the step a longer timeout if it needs it.",
        )

    def _end_attempts(self, worker: Worker, loss: pb.TaskFailure | None) -> None:
        """What was in flight in a worker that has ended; without a loss it goes back."""
        self._gathers.forget(worker)
        kind = pb.REPORT_KIND_RETURNED if loss is None else pb.REPORT_KIND_LOST
        for attempt in list(worker.attempts.values()):
            self._finish(attempt, _result(attempt, kind, loss))

    # What workers say.

    def _on_frame(self, worker: Worker, frame: OfTasks) -> None:
        """Raises FrameError."""
        match frame:
            case Done() | Ended():
                self._take_results(worker, frame)
                self._on_change()
            case Items():
                self._pass_children(worker, frame)
            case Save():
                self._pass_saved(worker, frame)
            case Gather():
                self._gathers.ask(worker, _executing(worker, frame.id), frame)

    def _take_results(self, worker: Worker, frame: Done | Ended) -> None:
        if isinstance(frame, Done) and frames.is_plain(frame):
            attempts = [_executing(worker, number) for number in frame.ids]
            if not any(self._gives_many[attempt.task.ref.step] for attempt in attempts):
                for number in frame.ids:
                    del worker.attempts[number]
                self._finish_alike(attempts, frame)
                return
        for result in frames.results(frame):
            self._finish(self._ended(worker, result), result)

    def _ended(self, worker: Worker, result: Result) -> Attempt:
        attempt = _executing(worker, result.id)
        if result.folder and result.folder != self._job.attempt_folder(attempt.task, attempt.id):
            raise FrameError(f"the folder {result.folder!r} is not that of the task {result.id}")
        del worker.attempts[result.id]
        return attempt

    def _pass_children(self, worker: Worker, frame: Items) -> None:
        attempt, given = _executing(worker, frame.id), frames.children(frame)
        following = frame.first + len(given)
        acknowledgement = {"type": "items_ack", "id": attempt.id, "next": following}
        attempt.enumeration = frame.enumeration
        attempt.enumerated = max(attempt.enumerated, following)
        attempt.gets_on()
        self._outbox.children(
            attempt.task.ref, frame.enumeration, frame.first, given, lambda: worker.send(acknowledgement)
        )

    def _pass_saved(self, worker: Worker, frame: Save) -> None:
        acknowledgement = {"type": "saved_ack", "request": frame.request}
        attempt = _executing(worker, frame.id)
        attempt.gets_on()
        self._outbox.saved(attempt.task.ref, frames.saved_state(frame), lambda: worker.send(acknowledgement))


def _executing(worker: Worker, number: int) -> Attempt:
    attempt = worker.attempts.get(number)
    if attempt is None:
        raise FrameError(f"the task {number} is not executing in it")
    return attempt


def _result(attempt: Attempt, kind: "pb.ReportKind.ValueType", failure: pb.TaskFailure | None = None) -> Result:
    return Result(attempt.id, kind, start_us=attempt.start_us, end_us=now_us(), failure=failure)
