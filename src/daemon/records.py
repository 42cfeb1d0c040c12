"""Takes in what a runner reported, over its stream or from its spool: one transaction, fenced task by task."""

import random
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

from milepost.common.wire import runner as wire
from milepost.core import lifecycle
from milepost.core.definition import PipelineDefinition
from milepost.core.errors import Code, MilepostError
from milepost.core.model import Child, Event, Failure, Job, JobState, Reason, Report, Run, TaskRef
from milepost.daemon.store import children, events, jobs, reports, runs, saved
from milepost.daemon.store.store import Transaction
from milepost.v1 import runner_service_pb2 as pb


@dataclass(frozen=True)
class Received:
    """The content of some batches, in order. Children come before the report that ends their enumeration."""

    reports: tuple[Report, ...]
    children: tuple[pb.Children, ...]
    saved: tuple[tuple[TaskRef, str], ...]

    @staticmethod
    def from_batches(batches: Iterable[pb.Batch]) -> "Received":
        """Raises MilepostError(INVALID_ARGUMENT) for a report of a kind that does not exist."""
        batches = tuple(batches)
        try:
            reports = tuple(wire.report_from_proto(report) for batch in batches for report in batch.reports)
        except KeyError as error:
            raise MilepostError(Code.INVALID_ARGUMENT, f"A runner sent a report of kind {error}.") from error
        return Received(
            reports=reports,
            children=tuple(chunk for batch in batches for chunk in batch.children),
            saved=tuple((wire.ref_from_proto(s.task), s.state_json) for batch in batches for s in batch.saved),
        )


@dataclass(frozen=True)
class Recorded:
    """The job after the transaction, and the tasks whose reports no longer counted."""

    job: Job
    superseded: tuple[TaskRef, ...]


def record(tx: Transaction, job_id: str, run: Run, definition: PipelineDefinition, received: Received) -> Recorded:
    """Raises MilepostError(RUN_FENCED) when the run has been closed: then nothing of it counts any more."""
    current = runs.get(tx.connection, job_id, run.number)
    if current is None or current.end is not None:
        raise MilepostError(Code.RUN_FENCED, f"Run {run.number} of {job_id} has ended: its reports no longer count.")
    return take_in(tx, job_id, run.number, definition, received)


def take_in(
    tx: Transaction, job_id: str, run_number: int, definition: PipelineDefinition, received: Received
) -> Recorded:
    """Records everything; what is superseded changes nothing."""
    now = time.time()
    superseded: list[TaskRef] = []
    for chunk in received.children:
        superseded.extend(_add_children(tx, job_id, definition, chunk, now))
    for ref, state_json in received.saved:
        saved.put(tx, job_id, ref, state_json)
    applied = reports.apply(tx, job_id, run_number, definition, received.reports, now, _jitter)
    job = jobs.get(tx.connection, job_id)
    if applied.failed_root is not None:
        job = _cannot_go_on(tx, job, applied.failed_root, now)
    return Recorded(job, (*superseded, *applied.superseded))


def _add_children(
    tx: Transaction, job_id: str, definition: PipelineDefinition, chunk: pb.Children, now: float
) -> list[TaskRef]:
    ref = wire.ref_from_proto(chunk.task)
    given = [Child(child.key, child.payload_json) for child in chunk.children]
    try:
        children.add(tx, job_id, definition, ref, chunk.enumeration, chunk.first_position, given, now)
    except MilepostError as error:
        if error.code is not Code.RUN_FENCED:
            raise
        return [ref]
    return []


def _cannot_go_on(tx: Transaction, job: Job, failure: Failure, now: float) -> Job:
    reason = Reason(
        "TASK_FAILED",
        f"A step that the whole job needs has failed: {failure.message}",
        failure.remedy or "See its log and its failed attempts, mend the cause, then resume it.",
    )
    stopped = lifecycle.cannot_go_on(job, JobState.FAILED, reason, now)
    if stopped is job:
        return job
    stopped = replace(stopped, stop_revision=tx.revision)
    jobs.save(tx, stopped)
    events.append(tx, job.id, Event("STOP_REQUESTED", now, "daemon", message=reason.message))
    return stopped


def _jitter(_ref: TaskRef) -> float:
    return random.random()  # noqa: S311 -- spreads retries; nothing secret hangs on it
