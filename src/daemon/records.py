"""Takes in what a runner reported, over its stream or from its spool: one transaction, fenced task by task."""

import logging
import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest

from google.protobuf.unknown_fields import UnknownFieldSet

from milepost.common.wire import runner as wire
from milepost.core import lifecycle
from milepost.core.definition import PipelineDefinition
from milepost.core.errors import Code, MilepostError
from milepost.core.model import Completed, Event, Failure, Job, Report, ReportKind, StepCounts, TaskRef
from milepost.core.retry import DUPLICATE
from milepost.daemon.store import children, counters, events, jobs, reports, rows, runs, saved
from milepost.daemon.store.failures import is_of_storage
from milepost.daemon.store.group_commit import Transaction
from milepost.daemon.store.reports import Source
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
class Told:
    """What a runner told, in the order in which it is to be recorded."""

    source: Source
    received: Sequence[Received]


@dataclass
class Recorded:
    """What became of it: the tasks whose reports no longer counted, the job's steps then (none when nothing counted),
    when the first task that failed is due again, and the job if it cannot go on."""

    revision: int
    superseded: list[TaskRef] = field(default_factory=list)
    steps: tuple[StepCounts, ...] = ()
    next_due: float | None = None
    stopped: Job | None = None


def record(tx: Transaction, told: Sequence[Told]) -> list[Recorded]:
    """What several runners told; for `Store.write_together`.

    Raises MilepostError(RUN_FENCED) when a run has been closed: then nothing of it counts any more.
    """
    sources = [one.source for one in told]
    open_runs = runs.open_among(tx.connection, [(source.sequence, source.run_number) for source in sources])
    for source in sources:
        if (source.sequence, source.run_number) not in open_runs:
            raise MilepostError(
                Code.RUN_FENCED, f"Run {source.run_number} of {source.job_id} has ended: its reports no longer count."
            )
    recorded = [Recorded(tx.revision) for _ in told]
    for parts in zip_longest(*(one.received for one in told)):
        _take_in(tx, [each for each in zip(sources, recorded, parts, strict=True) if each[2] is not None])
    return recorded


def take_in_spool(
    tx: Transaction, job_id: str, run_number: int, definition: PipelineDefinition, batches: Iterable[pb.Batch]
) -> str:
    """Records what a run left behind, as far as it makes sense; returns in words what did not."""
    source = Source(job_id, rows.sequence_of(tx.connection, job_id), run_number, definition)
    tx.touch(job_id)  # first, so that nobody is told how it got on by a record that is undone
    for number, batch in enumerate(batches, 1):
        tx.execute("SAVEPOINT spooled")
        try:
            for part in Received.from_batches([batch]):
                _take_in(tx, [(source, Recorded(tx.revision), part)])
        except Exception as error:  # nothing that lies in a file may keep the job from going on
            if is_of_storage(error):
                raise
            tx.execute("ROLLBACK TO spooled")
            tx.execute("RELEASE spooled")
            logger.warning("record %d of the spool of run %d of %s", number, run_number, job_id, exc_info=error)
            return f"record {number} cannot be recorded: {error}"
        tx.execute("RELEASE spooled")
    return ""


def _take_in(tx: Transaction, parts: Sequence[tuple[Source, Recorded, Received]]) -> None:
    """Records everything; what is superseded changes nothing."""
    now = time.time()
    told = [
        reports.Told(
            source,
            (*_take_in_what_comes_first(tx, source, recorded, received, now), *received.reports),
            received.completed,
        )
        for source, recorded, received in parts
    ]
    applied = reports.apply(tx, told, now, _jitter)
    for (source, recorded, _), one in zip(parts, applied, strict=True):
        recorded.superseded += one.superseded
        recorded.steps = one.steps or recorded.steps
        recorded.next_due = min(filter(None, (recorded.next_due, one.next_due)), default=None)
        if one.failed_root is not None:
            recorded.stopped = _cannot_go_on(tx, jobs.get(tx.connection, source.job_id), one.failed_root, now)


def _take_in_what_comes_first(
    tx: Transaction, source: Source, recorded: Recorded, received: Received, now: float
) -> list[Report]:
    """Children and saved states. Returns the failure of a task whose children cannot be used."""
    failed: list[Report] = []
    any_counts = False
    for chunk in received.children:
        void, unusable = _add_children(tx, source.job_id, source.definition, chunk, now)
        recorded.superseded += void
        failed += unusable[: 0 if failed else 1]
        any_counts |= not (void or unusable)
    if any_counts:
        recorded.steps = counters.steps_of(tx.connection, source.sequence)
    for ref, state_json in received.saved:
        saved.put(tx, source.job_id, ref, state_json)
    return failed


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
        failure = Failure(DUPLICATE, "on_duplicate", error.message, remedy=error.remedy)
        return [], [Report(ref, ReportKind.FAILED, now, now, failure=failure)]
    return [], []


def _cannot_go_on(tx: Transaction, job: Job, failure: Failure, now: float) -> Job | None:
    """The job as it is then; None when it has been stopped before."""
    reason = lifecycle.reason_of_root(job, failure)
    stopped = lifecycle.cannot_go_on(job, reason, now)
    if stopped is job:
        return None
    stopped = replace(stopped, stop_revision=tx.revision)
    jobs.save(tx, stopped)
    events.append(tx, job.id, Event("STOP_REQUESTED", now, "daemon", message=reason.message))
    return stopped


def _jitter(_ref: TaskRef) -> float:
    return random.random()  # noqa: S311 -- spreads retries; nothing secret hangs on it
