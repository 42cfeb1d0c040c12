"""One attached runner: what it holds, what it is sent, and what it reported.

Its loops share a session and end with its stream: `receive` reads it, `commit` records what was reported in batches of
everything that came in during the last commit, `feed` hands out tasks into the runner's window, `tell` says what is
desired. Only these loops write to the stream: a caller that goes away must not leave half a message behind, and nobody
but the session itself waits for a runner that does not read.
"""

import asyncio
import logging
import sqlite3
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from milepost.common.edges import edge
from milepost.common.wire import runner as wire
from milepost.core import progress
from milepost.core.definition import PipelineDefinition
from milepost.core.errors import Code, MilepostError
from milepost.core.findings import Finding, SilentWorker
from milepost.core.model import FindingKind, Job, PendingTask, Reason, Run, TaskRef
from milepost.core.progress import RATE_WINDOW, Sample
from milepost.daemon.feed import Feed
from milepost.daemon.live import Live, RunningTask
from milepost.daemon.records import Received, Recorded, Told, record
from milepost.daemon.store import items, tasks
from milepost.daemon.store.reports import Source
from milepost.daemon.store.store import Store
from milepost.v1 import job_pb2
from milepost.v1 import runner_service_pb2 as pb

GATHER_ROWS = 200
GATHER_BYTES = 1024 * 1024
#: A commit takes at most this many reports, so that one runner cannot hold up the others.
COMMIT_REPORTS = 4000
SAMPLE_INTERVAL = 0.5
#: Seconds between two tries to record while the disk is full.
FULL_PAUSE = 1.0
INSPECT_TIMEOUT = 5.0

Send = Callable[[pb.AttachResponse], Awaitable[None]]

logger = logging.getLogger(__name__)


@dataclass
class Session:
    job: Job
    run: Run
    definition: PipelineDefinition
    store: Store
    send: Send
    on_live: Callable[[str], None]
    #: A retry is due sooner than any before.
    on_retry: Callable[[], None]
    feed: Feed
    #: As the welcome told it.
    desired: pb.Desired
    live: Live = field(default_factory=Live)
    #: The last Desired.revision that the runner says is in force.
    in_force: int = -1
    gone: bool = False
    #: Nothing executes any more and everything is reported: the runner ends in order.
    drained: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._received: deque[pb.Batch] = deque()
        self._batch_came = asyncio.Event()
        self._room = asyncio.Event()
        self._feed_now = asyncio.Event()
        self._tell_now = asyncio.Event()
        self._told = self.desired
        #: Unix seconds: the retry of which reconcile was told.
        self._next_due = 0.0
        self._questions: deque[pb.Inspect] = deque()
        self._samples: dict[int, deque[Sample]] = {step.position: deque() for step in self.definition.steps}
        self._inspections: dict[int, asyncio.Future[pb.Inspection]] = {}
        self._room.set()
        self._feed_now.set()

    async def run_loops(self, requests: AsyncIterator[pb.AttachRequest]) -> None:
        """Until the runner closes the stream. Raises what the loops raise."""
        try:
            async with asyncio.TaskGroup() as tasks:
                own = (self._commit_loop(), self._feed_loop(), self._tell_loop())
                loops = [tasks.create_task(loop) for loop in own]
                await self._receive(requests)
                for loop in loops:
                    loop.cancel()
        except ExceptionGroup as group:
            raise group.exceptions[0] from group  # the stream ends with the first one's status

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
            RunningTask(
                step=t.task.step,
                item=t.task.item,
                key=t.item_key,
                attempt=t.attempt,
                start_time=t.start_us / 1e6,
                quiet=t.quiet_seconds,
                worker=t.worker_pid,
            )
            for t in heartbeat.in_flight
        )
        before = self.live
        self.live = replace(
            before,
            in_flight=dict(heartbeat.in_flight_by_step),
            tasks=oldest,
            holding=heartbeat.holding,
            heard=time.monotonic(),
            silent_workers=tuple(
                SilentWorker(worker.pid, worker.silent_seconds, worker.task_count, worker.starting)
                for worker in heartbeat.silent_workers
            ),
        )
        self.drained = heartbeat.drained
        self.in_force = heartbeat.desired_revision
        if (before.in_flight, before.holding) != (self.live.in_flight, self.live.holding):
            self.on_live(self.job.id)
        self._notify()

    def _notify(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()

    def leave(self) -> None:
        """The stream is gone: nobody may go on waiting for what this session would hear."""
        self.live = replace(self.live, in_flight={}, tasks=(), silent_workers=())
        self.gone = True
        self._notify()

    async def wait_holding(self, revision: int) -> bool:
        """Until the runner says that nothing starts any more, under this stop or a later one. False: it went away."""
        while not (self.live.holding and self.in_force >= revision):
            if self.gone:
                return False
            await self.changed.wait()
        return True

    # --- recording ---

    async def _commit_loop(self) -> None:
        while True:
            await self._batch_came.wait()
            batches = self._take_batches()
            received = Received.from_batches(batches)
            result = await self._record(received)
            for part in received:
                self.feed.recorded(part)
            self.feed.superseded(result.superseded)
            self._learn(result)
            self._sample()
            self._feed_now.set()
            await self._send_ack(batches[-1].sequence, result.superseded)

    def _learn(self, recorded: Recorded) -> None:
        if recorded.next_due is not None and not time.time() < self._next_due <= recorded.next_due:
            self._next_due = recorded.next_due
            self.on_retry()
        if recorded.steps and recorded.revision >= self.job.revision:
            self.set_desired(replace(self.job, revision=recorded.revision, steps=recorded.steps))
        if recorded.stopped is not None:
            self.set_desired(recorded.stopped)

    @edge("session.send_ack")
    async def _send_ack(self, sequence: int, superseded: Sequence[TaskRef]) -> None:
        ack = pb.Ack(sequence=sequence, void=[wire.ref_to_proto(ref) for ref in superseded])
        await self.send(pb.AttachResponse(ack=ack))

    async def _record(self, received: list[Received]) -> Recorded:
        """Waits while the disk is full: the runner goes on with what it holds, and keeps what it reported."""
        told = Told(Source(self.job.id, self.job.sequence, self.run.number, self.definition), received)
        while True:
            try:
                recorded = await self.store.write_together(record, told)
            except MilepostError as error:
                if error.code is not Code.STORE_FULL:
                    raise
                self._notice(error)
                await asyncio.sleep(FULL_PAUSE)
            else:
                self._notice(None)
                return recorded

    def _notice(self, trouble: MilepostError | None) -> None:
        """Tells, once, that what was reported cannot be recorded, and that it can again."""
        if (trouble is None) == (self.live.unrecorded is None):
            return
        finding = None
        if trouble is not None:
            logger.error("%s waits: %s", self.job.id, trouble)
            reason = Reason(trouble.code.value, trouble.message, trouble.remedy)
            finding = Finding(FindingKind.AT_RISK, reason, time.time())
        else:
            logger.info("%s goes on: what was reported is recorded", self.job.id)
        self.live = replace(self.live, unrecorded=finding)
        self.on_live(self.job.id)

    def _take_batches(self) -> list[pb.Batch]:
        batches: list[pb.Batch] = []
        reports = 0
        while self._received and (not batches or reports + _reports_in(self._received[0]) <= COMMIT_REPORTS):
            batch = self._received.popleft()
            reports += _reports_in(batch)
            batches.append(batch)
        if not self._received:
            self._batch_came.clear()
        self._room.set()
        return batches

    def look_everywhere(self) -> None:
        """Retries came due, or records were rewritten."""
        self.feed.look_everywhere()
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

    def set_desired(self, job: Job) -> None:
        """What the runner is to reach is told by the session. What was read before the job as we know it is ignored.

        Two functions of one commit may hand in the job, of which the first did not see the other's command.
        """
        if (job.revision, job.stop_revision) < (self.job.revision, self.job.stop_revision):
            return
        self.job = job
        self.desired = desired_of(job, self.definition)
        if self.desired != self._told:
            self._tell_now.set()
            self._feed_now.set()

    async def _tell_loop(self) -> None:
        while True:
            await self._tell_now.wait()
            self._tell_now.clear()
            while self._questions:
                await self._send_question(self._questions.popleft())
            if self.desired != self._told:
                self._told = self.desired
                await self._send_desired(self.desired)

    @edge("session.send_desired")
    async def _send_desired(self, desired: pb.Desired) -> None:
        await self.send(pb.AttachResponse(desired=desired))

    @edge("session.send_question")
    async def _send_question(self, question: pb.Inspect) -> None:
        await self.send(pb.AttachResponse(inspect=question))

    async def _feed_loop(self) -> None:
        while True:
            await self._feed_now.wait()
            self._feed_now.clear()
            while self._may_start and (page := await self.feed.next_page(self.job)):
                await self._send_page(page)

    @property
    def _may_start(self) -> bool:
        return self.desired.state == pb.DESIRED_STATE_RUN and not self.desired.finished

    @edge("session.send_page")
    async def _send_page(self, page: Sequence[PendingTask]) -> None:
        await self.send(pb.AttachResponse(page=wire.page_to_proto(page)))

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
            page = _gather_page(request.request, rows, self.definition)
        await self.send(pb.AttachResponse(gather=page))

    async def inspect(self) -> pb.Inspection | None:
        """Processes and stacks; None when the runner does not answer."""
        request = len(self._inspections) + time.monotonic_ns()
        answer: asyncio.Future[pb.Inspection] = asyncio.get_running_loop().create_future()
        self._inspections[request] = answer
        try:
            self._questions.append(pb.Inspect(request=request))
            self._tell_now.set()
            return await asyncio.wait_for(answer, INSPECT_TIMEOUT)
        except TimeoutError:
            return None
        finally:
            self._inspections.pop(request, None)


def _reports_in(batch: pb.Batch) -> int:
    return len(batch.reports) + sum(len(alike.items) for alike in batch.completed)


def desired_of(job: Job, definition: PipelineDefinition) -> pb.Desired:
    """The level that a runner of this job is to reach."""
    if job.stop is not None:
        state = pb.DESIRED_STATE_STOP if job.stop.force else pb.DESIRED_STATE_HOLD
        return pb.Desired(state=state, revision=job.stop_revision, reason=job.stop.reason.message)
    finished = progress.remaining(definition, job.steps) == 0
    return pb.Desired(state=pb.DESIRED_STATE_RUN, revision=job.stop_revision, finished=finished)


def _gather_page(request: int, rows: Sequence[items.GatherRow], definition: PipelineDefinition) -> pb.GatherPage:
    """As many of the rows as fit into a message; the cursor says where the next page begins."""
    page = pb.GatherPage(request=request)
    size = 0
    for row in rows:
        message = _gather_row(row, definition)
        size += message.ByteSize()
        if page.rows and size > GATHER_BYTES:
            break
        page.rows.append(message)
    if len(page.rows) < len(rows) or len(rows) == GATHER_ROWS:
        page.next_cursor = page.rows[-1].item + 1
    return page


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
