"""JobService: checks each request, asks the part that knows, answers with messages."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from milepost.common.filter import parse
from milepost.common.wire import job as wire
from milepost.common.wire.enums import OUTCOMES, from_proto
from milepost.core.definition import PipelineDefinition, from_json
from milepost.core.model import ACTIVE_STATES, Command, Event, Job, JobState
from milepost.daemon.commands import Asked, Commands, Controlled
from milepost.daemon.dispatch import Dispatch
from milepost.daemon.rpc import checks, log_tail
from milepost.daemon.rpc.caller import caller_of
from milepost.daemon.rpc.grid import grid_message
from milepost.daemon.rpc.interceptor import Context
from milepost.daemon.rpc.items import attempt_message, item_message
from milepost.daemon.rpc.metrics import metrics_message
from milepost.daemon.rpc.pages import MAX_PAGE_BYTES, Tokens, collect, page_size
from milepost.daemon.snapshot import Snapshots, Surroundings
from milepost.daemon.store import events, grid, items, jobs, metrics
from milepost.daemon.store.store import Store
from milepost.daemon.submit import Submit
from milepost.daemon.watch import Hub
from milepost.v1 import job_pb2
from milepost.v1 import job_service_pb2 as pb
from milepost.v1.job_service_pb2_grpc import JobServiceServicer

ControlRequest = (
    pb.PauseJobRequest
    | pb.ResumeJobRequest
    | pb.RestartJobRequest
    | pb.CancelJobRequest
    | pb.ForceCancelJobRequest
    | pb.RetryTasksRequest
)

#: Seconds that PauseJob waits until nothing starts any more.
HOLDING_TIMEOUT = 2.0
_RESULTS_AT_A_TIME = 100
_MAX_LOG_LINES = 1_000_000


@dataclass(frozen=True)
class Parts:
    """What the servicer asks.

    `folder`: the state folder; `closing`: set when the daemon stops; `cgroup`: the daemon's, as far as it is its own.
    """

    store: Store
    folder: Path
    snapshots: Snapshots
    hub: Hub
    commands: Commands
    dispatch: Dispatch
    submit: Submit
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    cgroup: Path | None = None


class JobService(JobServiceServicer):
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._store = parts.store

    # --- submit and look ---

    async def SubmitJob(self, request: pb.SubmitJobRequest, context: Context) -> pb.SubmitJobResponse:
        submitted = await self._parts.submit.submit(checks.submission(request, caller_of(context)))
        return pb.SubmitJobResponse(job=await self._document(submitted.job_id), message=submitted.message)

    async def GetJob(self, request: pb.GetJobRequest, context: Context) -> pb.GetJobResponse:
        return pb.GetJobResponse(job=await self._document(checks.job_reference(request.job)))

    # ListJobs and WatchJobs answer with encoded messages, so the server has them from `list_encoded`, `watch_encoded`.
    async def ListJobs(self, request: pb.ListJobsRequest, context: Context) -> pb.ListJobsResponse:
        raise NotImplementedError

    def WatchJobs(self, request: pb.WatchJobsRequest, context: Context) -> AsyncIterator[pb.WatchJobsResponse]:
        raise NotImplementedError

    async def list_encoded(self, request: pb.ListJobsRequest, context: Context) -> bytes:
        """ListJobs with the updates of watchers."""
        node = parse(request.filter)
        clause = self._parts.snapshots.clause(node)
        tokens = Tokens(self._store.id, "jobs", request.filter)
        # Before the first read: whoever watches from here is told again rather than not at all.
        watch_token = self._parts.hub.token(self._store.revision)

        async def fetch(before: int | None, limit: int) -> list[tuple[int, bytes | None]]:
            found, updates = await self._parts.hub.find(
                lambda db: jobs.page(db, clause.sql, clause.arguments, before, limit)
            )
            return [
                (job.sequence, None if update is None else update.encoded)
                for job, update in zip(found, updates, strict=True)
            ]

        listed, last = await collect(fetch, tokens.position(request.page_token), page_size(request.page_size))
        total = await self._store.read(lambda db: jobs.count(db, clause.sql, clause.arguments))
        rest = pb.ListJobsResponse(next_page_token=tokens.token(last), watch_token=watch_token, total_size=total)
        return b"".join([*listed, rest.SerializeToString()])

    async def watch_encoded(self, request: pb.WatchJobsRequest, context: Context) -> None:
        """WatchJobs with each update encoded once for all watchers."""
        await self._parts.hub.watch(request.watch_token, request.filter, context.write)

    # --- commands ---

    async def PauseJob(self, request: pb.PauseJobRequest, context: Context) -> pb.PauseJobResponse:
        command = Command.PAUSE_NOW if request.now else Command.PAUSE
        controlled = await self._control(request, context, command, reason=checks.reason(request.reason))
        document, holding = await self._when_held(controlled)
        return pb.PauseJobResponse(job=document, message=_pause_message(document, controlled), holding=holding)

    async def ResumeJob(self, request: pb.ResumeJobRequest, context: Context) -> pb.ResumeJobResponse:
        controlled = await self._control(request, context, Command.RESUME, retry_failed=request.retry_failed)
        return pb.ResumeJobResponse(job=await self._document(controlled.job_id), message=controlled.message)

    async def RestartJob(self, request: pb.RestartJobRequest, context: Context) -> pb.RestartJobResponse:
        match request.WhichOneof("from"):
            case "from_step":
                step = checks.required("from_step", request.from_step, checks.MAX_NAME)
                controlled = await self._control(request, context, Command.RESTART_FROM_STEP, step=step)
            case "from_scratch" if request.from_scratch:
                controlled = await self._control(request, context, Command.RESTART_FROM_SCRATCH)
            case _:
                controlled = await self._control(request, context, Command.RESTART)
        return pb.RestartJobResponse(job=await self._document(controlled.job_id), message=controlled.message)

    async def CancelJob(self, request: pb.CancelJobRequest, context: Context) -> pb.CancelJobResponse:
        controlled = await self._control(request, context, Command.CANCEL, reason=checks.reason(request.reason))
        document, holding = await self._when_held(controlled)
        return pb.CancelJobResponse(job=document, message=controlled.message, holding=holding)

    async def ForceCancelJob(self, request: pb.ForceCancelJobRequest, context: Context) -> pb.ForceCancelJobResponse:
        reason = checks.reason(request.reason)
        controlled = await self._control(request, context, Command.FORCE_CANCEL, reason=reason)
        return pb.ForceCancelJobResponse(job=await self._document(controlled.job_id), message=controlled.message)

    async def RetryTasks(self, request: pb.RetryTasksRequest, context: Context) -> pb.RetryTasksResponse:
        controlled = await self._control(
            request,
            context,
            Command.RETRY,
            item_keys=checks.item_keys(request.item_keys),
            error_class=checks.text("error_class", request.error_class, checks.MAX_NAME),
        )
        return pb.RetryTasksResponse(
            job=await self._document(controlled.job_id), message=controlled.message, retried=controlled.retried
        )

    async def _when_held(self, controlled: Controlled) -> tuple[job_pb2.Job, bool]:
        """The job as soon as nothing of it starts any more, or after HOLDING_TIMEOUT; and whether that is so."""
        await asyncio.sleep(0)  # the runner is told now, and the rest is done while it answers
        job, around = await self._find(controlled.job_id)
        holding = await self._parts.dispatch.wait_holding(controlled.job_id, controlled.revision, HOLDING_TIMEOUT)
        return self._parts.snapshots.document(job, around).message(), holding

    async def _control(
        self,
        request: ControlRequest,
        context: Context,
        command: Command,
        **details: Any,  # Any: the remaining fields of Asked
    ) -> Controlled:
        caller = caller_of(context)
        asked = Asked(
            command=command,
            request_id=checks.request_id(request.request_id),
            payload_hash=checks.payload_hash(request),
            by=caller.by,
            client=caller.client,
            **details,
        )
        return await self._parts.commands.control(checks.job_reference(request.job), asked)

    # --- lists ---

    async def ListItems(self, request: pb.ListItemsRequest, context: Context) -> pb.ListItemsResponse:
        job, definition = await self._job(request.job)
        restriction = checks.item_restriction(request, definition)
        tokens = Tokens(self._store.id, "items", job.id, restriction, request.full)
        after, size = tokens.position(request.page_token), page_size(request.page_size)
        number = checks.whole("skip", request.skip, 0, checks.MAX_SKIP)

        def find(db: sqlite3.Connection) -> tuple[int | None, int]:
            start = -1 if after is None else after
            begin = items.skip(db, job.id, restriction, start, number) if number else start
            return begin, items.total(db, job.id, restriction) if after is None else 0

        async def fetch(after: int | None, limit: int) -> list[tuple[int, job_pb2.Item]]:
            begin = -1 if after is None else after
            found = await self._store.read(
                lambda db: items.page(db, job.id, restriction, after_id=begin, limit=limit, full=request.full)
            )
            return [(item.id, item_message(item, definition)) for item in found]

        begin, total = await self._store.read(find)
        if begin is None:
            return pb.ListItemsResponse(total_size=total)
        listed, last = await collect(fetch, begin, size)
        return pb.ListItemsResponse(items=listed, next_page_token=tokens.token(last), total_size=total)

    async def ListAttempts(self, request: pb.ListAttemptsRequest, context: Context) -> pb.ListAttemptsResponse:
        job, definition = await self._job(request.job)
        (key,) = checks.item_keys([request.item_key])
        tokens = Tokens(self._store.id, "attempts", job.id, key)

        async def fetch(before: int | None, limit: int) -> list[tuple[int, job_pb2.Attempt]]:
            found = await self._store.read(lambda db: items.attempts(db, job.id, key, before, limit))
            return [(attempt.id, attempt_message(attempt, definition)) for attempt in found]

        listed, last = await collect(fetch, tokens.position(request.page_token), page_size(request.page_size))
        return pb.ListAttemptsResponse(attempts=listed, next_page_token=tokens.token(last))

    async def ListEvents(self, request: pb.ListEventsRequest, context: Context) -> pb.ListEventsResponse:
        job_id = await self._resolve(request.job) if request.job else None
        tokens = Tokens(self._store.id, "events", job_id, request.newest_first)

        def read(db: sqlite3.Connection, beside: int | None, limit: int) -> list[Event]:
            if request.newest_first:
                return events.newest(db, job_id, beside, limit)
            return events.page(db, job_id, beside or 0, limit)

        async def fetch(beside: int | None, limit: int) -> list[tuple[int, job_pb2.Event]]:
            found = await self._store.read(lambda db: read(db, beside, limit))
            return [(event.id, wire.event(event)) for event in found]

        listed, last = await collect(fetch, tokens.position(request.page_token), page_size(request.page_size))
        return pb.ListEventsResponse(events=listed, next_page_token=tokens.token(last))

    # --- what screens draw ---

    async def GetJobGrid(self, request: pb.GetJobGridRequest, context: Context) -> pb.GetJobGridResponse:
        columns = checks.whole("columns", request.columns, 0, checks.MAX_COLUMNS) or checks.DEFAULT_COLUMNS
        job, definition = await self._job(request.job)
        executing = self._parts.dispatch.live(job.id).tasks

        def read(db: sqlite3.Connection) -> pb.GetJobGridResponse:
            # The message, too, beside the loop: there may be tens of thousands of cells.
            return grid_message(definition, grid.standings(db, job.id, definition, columns), executing)

        return await self._store.read(read)

    async def GetJobMetrics(self, request: pb.GetJobMetricsRequest, context: Context) -> pb.GetJobMetricsResponse:
        job, definition = await self._job(request.job)
        found = await self._store.read(lambda db: metrics.metrics(db, job, time.time()))
        return metrics_message(found, definition)

    # --- streams ---

    async def TailLog(self, request: pb.TailLogRequest, context: Context) -> AsyncIterator[pb.TailLogResponse]:
        job_id = await self._resolve(request.job)
        lines = checks.whole("lines", request.lines, 0, _MAX_LOG_LINES)

        async def may_grow() -> bool:
            job = await self._store.read(lambda db: jobs.get(db, job_id))
            return job.state in (*ACTIVE_STATES, JobState.QUEUED) and not self._parts.closing.is_set()

        folder = self._parts.folder / "jobs" / job_id / "logs"
        async for found in log_tail.tail(folder, lines, follow=request.follow, may_grow=may_grow):
            yield pb.TailLogResponse(lines=found)

    async def ListResults(
        self, request: pb.ListResultsRequest, context: Context
    ) -> AsyncIterator[pb.ListResultsResponse]:
        job, definition = await self._job(request.job)
        outcomes = [from_proto(OUTCOMES, outcome, "outcomes") for outcome in request.outcomes]
        after = -1
        while True:
            found = await self._store.read(
                lambda db, after_id=after: items.results(  # type: ignore[misc]  # bound now, called at once
                    db, job.id, outcomes=outcomes, label=request.label, after_id=after_id, limit=_RESULTS_AT_A_TIME
                )
            )
            for chunk in _chunks([item_message(item, definition) for item in found]):
                yield pb.ListResultsResponse(items=chunk)
            if len(found) < _RESULTS_AT_A_TIME:
                return
            after = found[-1].id

    async def InspectJob(self, request: pb.InspectJobRequest, context: Context) -> pb.InspectJobResponse:
        job_id = await self._resolve(request.job)
        inspection = await self._parts.dispatch.inspect(job_id)
        processes = [
            pb.InspectJobResponse.Process(
                pid=process.pid,
                parent_pid=process.parent_pid,
                command=process.command,
                state=process.state,
                role=process.role,
                stacks=process.stacks,
                rss_bytes=process.rss_bytes,
            )
            for process in (inspection.processes if inspection is not None else ())
        ]
        return pb.InspectJobResponse(job=await self._document(job_id), processes=processes)

    # --- what all of them need ---

    async def _resolve(self, reference: str) -> str:
        checked = checks.job_reference(reference)
        return await self._store.read(lambda db: jobs.resolve(db, checked))

    async def _job(self, reference: str) -> tuple[Job, PipelineDefinition]:
        checked = checks.job_reference(reference)
        job = await self._store.read(lambda db: jobs.get(db, jobs.resolve(db, checked)))
        return job, from_json(job.definition_json)

    async def _document(self, reference: str) -> job_pb2.Job:
        return self._parts.snapshots.document(*await self._find(reference)).message()

    async def _find(self, reference: str) -> tuple[Job, Surroundings]:
        def read(db: sqlite3.Connection) -> tuple[Job, Surroundings]:
            job = jobs.get(db, jobs.resolve(db, reference))
            return job, self._parts.snapshots.surroundings(db, [job])

        return await self._store.read(read)


def _pause_message(document: job_pb2.Job, controlled: Controlled) -> str:
    if document.state != job_pb2.JOB_STATE_PAUSING:
        return controlled.message
    in_flight = sum(step.counts.in_flight for step in document.steps)
    tasks = f"{in_flight} {'task' if in_flight == 1 else 'tasks'} in flight"
    if document.stop.force:
        return f"Pausing: {tasks} {'is' if in_flight == 1 else 'are'} killed and run again after resume."
    return f"Pausing: {tasks} {'completes' if in_flight == 1 else 'complete'} first."


def _chunks(messages: Sequence[job_pb2.Item]) -> list[list[job_pb2.Item]]:
    """At most MAX_PAGE_BYTES each, but for a single item that is larger."""
    chunks: list[list[job_pb2.Item]] = []
    room = 0
    for message in messages:
        size = message.ByteSize()
        if size > room:
            chunks.append([])
            room = MAX_PAGE_BYTES
        chunks[-1].append(message)
        room -= size
    return chunks
