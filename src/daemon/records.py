"""Takes in what a runner reported, over its stream or from its spool: one transaction, fenced task by task."""

import logging
import random
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

from google.protobuf.unknown_fields import UnknownFieldSet

from milepost.common.wire import runner as wire
from milepost.core import lifecycle
from milepost.core.definition import PipelineDefinition
from milepost.core.errors import Code, MilepostError
from milepost.core.model import Completed, Event, Failure, Job, Reason, Report, ReportKind, Run, TaskRef
from milepost.daemon.store import children, events, jobs, reports, runs, saved
from milepost.daemon.store.failures import is_of_storage
from milepost.daemon.store.store import Transaction
from milepost.v1 import runner_service_pb2 as pb

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Received:
    """What came in some batches and can be recorded at once: saved states and children first, then the reports.

    Children come before the report that ends their enumeration, a saved state before the report of its task.
    """

    completed: tuple[Completed, ...]
    reports: tuple[Report, ...]
    children: tuple[pb.Children, ...]
    saved: tuple[tuple[TaskRef, str], ...]

    @staticmethod
    def from_batches(batches: Iterable[pb.Batch]) -> "list[Received]":
        """In the order in which they are to be recorded: what a task gave may stand only behind an earlier report.

        Raises MilepostError(INVALID_ARGUMENT) for reports that make no sense.
        """
        together: list[list[pb.Batch]] = []
        for batch in batches:
            _check_known(batch)
            builds_on_reports = batch.children or batch.saved
            if not together or (
                builds_on_reports and any(earlier.reports or earlier.completed for earlier in together[-1])
            ):
                together.append([])
            together[-1].append(batch)
        return [Received._merged(batches) for batches in together]

    @staticmethod
    def _merged(batches: "list[pb.Batch]") -> "Received":
        try:
            reports = tuple(wire.report_from_proto(report) for batch in batches for report in batch.reports)
        except KeyError as error:
            raise MilepostError(Code.INVALID_ARGUMENT, f"A runner sent a report of kind {error}.") from error
        return Received(
            completed=tuple(wire.completed_from_proto(alike) for batch in batches for alike in batch.completed),
            reports=reports,
            children=tuple(chunk for batch in batches for chunk in batch.children),
            saved=tuple((wire.ref_from_proto(s.task), s.state_json) for batch in batches for s in batch.saved),
        )


def _check_known(batch: pb.Batch) -> None:
    """What is acknowledged is lost to the runner, so nothing is that we do not know. Raises MilepostError."""
    is_empty = not (batch.completed or batch.reports or batch.children or batch.saved)
    if is_empty or len(UnknownFieldSet(batch)):
        raise MilepostError(Code.INVALID_ARGUMENT, "A runner sent a batch that this daemon does not know in full.")


@dataclass(frozen=True)
class Recorded:
    """The job after the transaction, and the tasks whose reports no longer counted."""

    job: Job
    superseded: tuple[TaskRef, ...]


def record(
    tx: Transaction, job_id: str, run: Run, definition: PipelineDefinition, received: Iterable[Received]
) -> Recorded:
    """Raises MilepostError(RUN_FENCED) when the run has been closed: then nothing of it counts any more."""
    current = runs.get(tx.connection, job_id, run.number)
    if current is None or current.end is not None:
        raise MilepostError(Code.RUN_FENCED, f"Run {run.number} of {job_id} has ended: its reports no longer count.")
    superseded: list[TaskRef] = []
    for part in received:
        superseded.extend(_take_in(tx, job_id, run.number, definition, part))
    return Recorded(jobs.get(tx.connection, job_id), tuple(superseded))


def take_in_spool(
    tx: Transaction, job_id: str, run_number: int, definition: PipelineDefinition, batches: Iterable[pb.Batch]
) -> str:
    """Records what a run left behind, as far as it makes sense; returns in words what did not."""
    for number, batch in enumerate(batches, 1):
        tx.execute("SAVEPOINT spooled")
        try:
            for part in Received.from_batches([batch]):
                _take_in(tx, job_id, run_number, definition, part)
        except Exception as error:  # nothing that lies in a file may keep the job from going on
            if is_of_storage(error):
                raise
            tx.execute("ROLLBACK TO spooled")
            tx.execute("RELEASE spooled")
            logger.warning("record %d of the spool of run %d of %s", number, run_number, job_id, exc_info=error)
            return f"record {number} cannot be recorded: {error}"
        tx.execute("RELEASE spooled")
    return ""


def _take_in(
    tx: Transaction, job_id: str, run_number: int, definition: PipelineDefinition, received: Received
) -> list[TaskRef]:
    """Records everything; what is superseded changes nothing and is returned."""
    now = time.time()
    superseded: list[TaskRef] = []
    failed: list[Report] = []
    for chunk in received.children:
        void, unusable = _add_children(tx, job_id, definition, chunk, now)
        superseded += void
        failed += unusable[: 0 if failed else 1]
    for ref, state_json in received.saved:
        saved.put(tx, job_id, ref, state_json)
    told = (*failed, *received.reports)
    applied = reports.apply(tx, job_id, run_number, definition, told, now, _jitter, received.completed)
    if applied.failed_root is not None:
        _cannot_go_on(tx, jobs.get(tx.connection, job_id), applied.failed_root, now)
    return [*superseded, *applied.superseded]


def _add_children(
    tx: Transaction, job_id: str, definition: PipelineDefinition, chunk: pb.Children, now: float
) -> tuple[list[TaskRef], list[Report]]:
    """The task if it no longer counts, and a report of its failure if its children cannot be used."""
    ref = wire.ref_from_proto(chunk.task)
    given = wire.children_from_proto(chunk.children)
    try:
        children.add(tx, job_id, definition, ref, chunk.enumeration, chunk.first_position, given, now)
    except MilepostError as error:
        if error.code is Code.RUN_FENCED:
            return [ref], []
        # What it gave cannot be used: the enumeration has failed, and its own report will come too late.
        failure = Failure("duplicate", "on_duplicate", error.message, remedy=error.remedy)
        return [], [Report(ref, ReportKind.FAILED, now, now, failure=failure)]
    return [], []


def _cannot_go_on(tx: Transaction, job: Job, failure: Failure, now: float) -> None:
    reason = Reason(
        "TASK_FAILED",
        f"A step that the whole job needs has failed: {failure.message}",
        failure.remedy or "See its log and its failed attempts, mend the cause, then resume it.",
    )
    stopped = lifecycle.cannot_go_on(job, reason, now)
    if stopped is job:
        return
    stopped = replace(stopped, stop_revision=tx.revision)
    jobs.save(tx, stopped)
    events.append(tx, job.id, Event("STOP_REQUESTED", now, "daemon", message=reason.message))


def _jitter(_ref: TaskRef) -> float:
    return random.random()  # noqa: S311 -- spreads retries; nothing secret hangs on it
