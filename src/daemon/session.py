"""One attached runner: what it holds, what it is sent, and what it reported.

Three loops share a session: `receive` reads the stream, `commit` records what was reported in batches of everything
that came in during the last commit, `feed` hands out tasks into the runner's window. Handing out is not durable: an
item that is out stands in the store as pending, and `held` keeps it from being handed out twice. After a new start of
the daemon the runner's hello says what it holds.
"""

import asyncio
import logging
import sqlite3
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from milepost.common.edges import edge
from milepost.common.wire import runner as wire
from milepost.core import progress
from milepost.core.definition import PipelineDefinition
from milepost.core.errors import Code, MilepostError
from milepost.core.model import Job, PendingTask, ReportKind, Run, TaskRef
from milepost.core.progress import RATE_WINDOW, Sample
from milepost.daemon.live import Live, RunningTask
from milepost.daemon.records import Received, Recorded, record
from milepost.daemon.store import items, tasks
from milepost.daemon.store.store import Store
from milepost.v1 import job_pb2
from milepost.v1 import runner_service_pb2 as pb

#: What a runner may hold: enough that it never waits for a page, little enough for its memory.
WINDOW_TASKS = 4096
WINDOW_BYTES = 16 * 1024 * 1024
PAGE_TASKS = 1000
PAGE_BYTES = 1024 * 1024
GATHER_ROWS = 500
#: A commit takes at most this many reports, so that one runner cannot hold up the others.
COMMIT_REPORTS = 4000
SAMPLE_INTERVAL = 0.5
INSPECT_TIMEOUT = 5.0

Send = Callable[[pb.AttachResponse], Awaitable[None]]

logger = logging.getLogger(__name__)


class Held(NamedTuple):
    """A task that was handed out. `size` in bytes counts against the window."""

    step: int
    epoch: int
    size: int


@dataclass
class Cursor:
    """How far the pending tasks of a step have been handed out; `dry` when the last look found no more."""

    after_item: int = -1
    dry: bool = False


@dataclass
class Session:
    job: Job
    run: Run
    definition: PipelineDefinition
    folder: Path
    store: Store
    send: Send
    on_live: Callable[[str], None]
    live: Live = field(default_factory=Live)
    held: dict[int, Held] = field(default_factory=dict)
    held_bytes: int = 0
    desired: pb.Desired = field(default_factory=pb.Desired)
    #: The last Desired.revision that the runner says is in force.
    in_force: int = -1
    gone: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._cursors = [Cursor() for _ in self.definition.steps]
        self._received: deque[pb.Batch] = deque()
        self._batch_came = asyncio.Event()
        self._room = asyncio.Event()
        self._feed_now = asyncio.Event()
        self._samples: dict[int, deque[Sample]] = {step.position: deque() for step in self.definition.steps}
        self._inspections: dict[int, asyncio.Future[pb.Inspection]] = {}
        self._room.set()
        self._feed_now.set()

    async def run_loops(self, requests: AsyncIterator[pb.AttachRequest]) -> None:
        """Until the runner closes the stream. Raises what the loops raise."""
        async with asyncio.TaskGroup() as group:
            loops = [group.create_task(self._commit_loop()), group.create_task(self._feed_loop())]
            await self._receive(requests)
            for loop in loops:
                loop.cancel()

    # --- what the runner says ---

    async def _receive(self, requests: AsyncIterator[pb.AttachRequest]) -> None:
        async for request in requests:
            match request.WhichOneof("message"):
                case "batch":
                    await self._room.wait()
                    self._received.append(request.batch)
                    self._batch_came.set()
                    if len(self._received) >= 4:
                        self._room.clear()
                case "heartbeat":
                    self._heard(request.heartbeat)
                case "gather":
                    await self._gather(request.gather)
                case "inspection":
                    waiting = self._inspections.pop(request.inspection.request, None)
                    if waiting is not None and not waiting.done():
                        waiting.set_result(request.inspection)
                case other:
                    raise MilepostError(Code.INVALID_ARGUMENT, f"A runner sent {other!r} in the middle of its stream.")

    def _heard(self, heartbeat: pb.Heartbeat) -> None:
        oldest = tuple(
            RunningTask(t.task.step, t.task.item, t.item_key, t.attempt, t.start_us / 1e6) for t in heartbeat.in_flight
        )
        before = self.live
        self.live = replace(
            before, in_flight=dict(heartbeat.in_flight_by_step), tasks=oldest, holding=heartbeat.holding
        )
        self.in_force = heartbeat.desired_revision
        if (before.in_flight, before.holding) != (self.live.in_flight, self.live.holding):
            self.on_live(self.job.id)
        self._notify()

    def _notify(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()

    def leave(self) -> None:
        """The stream is gone: nobody may go on waiting for what this session would hear."""
        self.live = replace(self.live, in_flight={}, tasks=())
        self.gone = True
        self._notify()

    async def wait_holding(self, revision: int) -> None:
        """Until the runner says that nothing starts any more, under this stop or a later one."""
        while not self.gone and not (self.live.holding and self.in_force >= revision):
            await self.changed.wait()

    # --- recording ---

    async def _commit_loop(self) -> None:
        while True:
            await self._batch_came.wait()
            batches = self._take_batches()
            received = Received.from_batches(batches)
            result = await self._record(received)
            self.job = result.job
            for part in received:
                self._release(part)
            self._drop(result.superseded)
            self._sample()
            await self._send_ack(batches[-1].sequence, result.superseded)
            await self.set_desired(self.job)
            self._feed_now.set()

    @edge("session.send_ack")
    async def _send_ack(self, sequence: int, superseded: tuple[TaskRef, ...]) -> None:
        ack = pb.Ack(sequence=sequence, void=[wire.ref_to_proto(ref) for ref in superseded])
        await self.send(pb.AttachResponse(ack=ack))

    async def _record(self, received: list[Received]) -> Recorded:
        return await self.store.write(lambda tx: record(tx, self.job.id, self.run, self.definition, received))

    def _take_batches(self) -> list[pb.Batch]:
        batches: list[pb.Batch] = []
        reports = 0
        while self._received and (not batches or reports + len(self._received[0].reports) <= COMMIT_REPORTS):
            batch = self._received.popleft()
            reports += len(batch.reports)
            batches.append(batch)
        if not self._received:
            self._batch_came.clear()
        self._room.set()
        return batches

    def _release(self, received: Received) -> None:
        """Forgets what has left the runner; looks again at steps that got something to do."""
        left: set[tuple[int, bool]] = set()  # (step, whether the task succeeded there)
        for report in received.reports:
            step, item, epoch = report.ref
            held = self.held.get(item)
            if held is None or held.step != step or held.epoch != epoch:
                continue
            succeeded = report.kind is ReportKind.SUCCEEDED
            following = self.definition.continues_in_runner(step) if succeeded else None
            if following is not None:
                self.held[item] = held._replace(step=following)
                continue
            self._forget(item, held)
            left.add((step, succeeded))
        self._look_again(left)
        if received.children:
            for cursor in self._cursors:
                cursor.dry = False

    def _drop(self, superseded: tuple[TaskRef, ...]) -> None:
        for ref in superseded:
            held = self.held.get(ref.item)
            if held is not None and (held.step, held.epoch) == (ref.step, ref.epoch):
                self._forget(ref.item, held)
                self.look_everywhere()

    def _forget(self, item: int, held: Held) -> None:
        del self.held[item]
        self.held_bytes -= held.size

    def _look_again(self, left: set[tuple[int, bool]]) -> None:
        """After tasks have left the runner, others may be pending than the cursors know."""
        for step, succeeded in left:
            following = self.definition.next_step(step)
            if not succeeded:
                self._cursors[step] = Cursor()
            elif following is not None:
                self._cursors[following] = Cursor()
            children = self.definition.line_of_children(step)
            if children is not None:
                self._cursors[children.position].dry = False
        for shape in self.definition.steps if left else ():
            if self.definition.is_gated(shape.position):
                self._cursors[shape.position] = Cursor()

    def look_everywhere(self) -> None:
        """Retries came due, or records were rewritten."""
        self._cursors = [Cursor() for _ in self.definition.steps]
        self._feed_now.set()

    def _sample(self) -> None:
        now = time.time()
        for step in self.job.steps:
            samples = self._samples[step.position]
            done = step.succeeded + step.failed + step.skipped
            if len(samples) >= 2 and now - samples[-2].time < SAMPLE_INTERVAL:
                samples.pop()
            samples.append(Sample(now, done))
            while now - samples[0].time > RATE_WINDOW:
                samples.popleft()
        self.live = replace(self.live, samples={step: tuple(samples) for step, samples in self._samples.items()})

    # --- handing out ---

    async def set_desired(self, job: Job) -> None:
        """Sends the level when it has changed. What was read before the job as we know it changes nothing."""
        if job.revision < self.job.revision:
            return
        self.job = job
        wanted = desired_of(job, self.definition)
        if wanted != self.desired:
            self.desired = wanted
            await self._send_desired(wanted)
            self._feed_now.set()

    @edge("session.send_desired")
    async def _send_desired(self, desired: pb.Desired) -> None:
        await self.send(pb.AttachResponse(desired=desired))

    async def _feed_loop(self) -> None:
        while True:
            await self._feed_now.wait()
            self._feed_now.clear()
            while await self._feed_page():
                pass

    async def _feed_page(self) -> bool:
        """Sends one page; False when there is no room, nothing to send, or nothing may start."""
        room = min(PAGE_TASKS, WINDOW_TASKS - len(self.held))
        if self.desired.state != pb.DESIRED_STATE_RUN or self.desired.finished or room < 1:
            return False
        if self.held_bytes >= WINDOW_BYTES:
            return False
        for step in reversed(self.definition.steps):
            cursor = self._cursors[step.position]
            if cursor.dry:
                continue
            page = await self._next_page(step.position, cursor, room)
            if page:
                await self._send_page(page)
                return True
        return False

    @edge("session.send_page")
    async def _send_page(self, page: Sequence[PendingTask]) -> None:
        await self.send(pb.AttachResponse(page=pb.Page(tasks=[wire.task_to_proto(task) for task in page])))

    async def _next_page(self, step: int, cursor: Cursor, room: int) -> list[PendingTask]:
        if not progress.is_open(self.definition, self.job.steps, step):
            cursor.dry = True
            return []
        after = cursor.after_item
        rows = await self.store.read(lambda db: tasks.pending(db, self.job.id, step, after, room))
        if self._cursors[step] is not cursor:
            return []  # it was reset meanwhile: the next round looks again
        if len(rows) < room:
            cursor.dry = True
        page: list[PendingTask] = []
        size = 0
        for task in rows:
            if size >= PAGE_BYTES:
                cursor.dry = False
                break
            cursor.after_item = task.ref.item
            if task.ref.item in self.held:
                continue
            bytes_of_task = _size(task)
            size += bytes_of_task
            self.held[task.ref.item] = Held(task.ref.step, task.ref.epoch, bytes_of_task)
            self.held_bytes += bytes_of_task
            page.append(task)
        if not page and not cursor.dry:
            self._feed_now.set()
        return page

    @edge("session.answer_gather")
    async def _gather(self, request: pb.GatherRequest) -> None:
        ref = wire.ref_from_proto(request.task)

        def read(db: sqlite3.Connection) -> list[items.GatherRow] | None:
            if ref not in tasks.still_current(db, self.job.id, [ref]):
                return None
            return items.gather(db, self.job.id, self.definition, ref.step, request.cursor - 1, GATHER_ROWS)

        rows = await self.store.read(read)
        if rows is None:
            page = pb.GatherPage(request=request.request, error="The task no longer counts: it was retried or rewound.")
        else:
            page = pb.GatherPage(
                request=request.request,
                rows=[_gather_row(row, self.definition) for row in rows],
                next_cursor=rows[-1].item + 1 if len(rows) == GATHER_ROWS else 0,
            )
        await self.send(pb.AttachResponse(gather=page))

    @edge("session.inspect")
    async def inspect(self) -> pb.Inspection | None:
        """Processes and stacks; None when the runner does not answer."""
        request = len(self._inspections) + time.monotonic_ns()
        answer: asyncio.Future[pb.Inspection] = asyncio.get_running_loop().create_future()
        self._inspections[request] = answer
        try:
            await self.send(pb.AttachResponse(inspect=pb.Inspect(request=request)))
            return await asyncio.wait_for(answer, INSPECT_TIMEOUT)
        except TimeoutError:
            return None
        finally:
            self._inspections.pop(request, None)


def desired_of(job: Job, definition: PipelineDefinition) -> pb.Desired:
    """The level that a runner of this job is to reach."""
    if job.stop is not None:
        state = pb.DESIRED_STATE_STOP if job.stop.force else pb.DESIRED_STATE_HOLD
        return pb.Desired(state=state, revision=job.stop_revision, reason=job.stop.reason.message)
    finished = progress.remaining(definition, job.steps) == 0
    return pb.Desired(state=pb.DESIRED_STATE_RUN, revision=job.stop_revision, finished=finished)


def _size(task: PendingTask) -> int:
    return 100 + len(task.payload_json) + len(task.saved_json) + sum(len(result) for _, result in task.previous)


def _gather_row(row: items.GatherRow, definition: PipelineDefinition) -> pb.GatherRow:
    return pb.GatherRow(
        item=row.item,
        key=row.key,
        payload_json=row.payload_json,
        outcome=job_pb2.Outcome.Value(f"OUTCOME_{row.outcome}"),
        label=row.label,
        results=[pb.Previous(step=step, result_json=result) for step, result in row.results],
        error_class=row.failure.error_class if row.failure else "",
        error_message=row.failure.message if row.failure else "",
        step=definition.steps[row.step].name,
    )
