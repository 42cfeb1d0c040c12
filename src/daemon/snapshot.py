"""A job as clients see it: its row, what is known of its run beside the store, and what a person may do with it now.

A document is put together from the bytes of its parts, each a `Job` with a few fields set: joined, they are one. What
stays as it is, of a job that is told at each of its changes, is so encoded once.
"""

import asyncio
import json
import logging
import shlex
import sqlite3
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from operator import attrgetter
from pathlib import Path

from milepost.common.filter import FilterSubject, Node
from milepost.common.wire import job as wire
from milepost.common.wire.enums import JOB_STATES, RUNNER_LOST_POLICIES
from milepost.common.wire.times import duration, timestamp
from milepost.core import progress
from milepost.core.actions import Action, actions
from milepost.core.definition import Gives, PipelineDefinition, Takes, from_json
from milepost.core.findings import Finding, does_not_get_on
from milepost.core.lifecycle import Circumstances
from milepost.core.model import FindingKind, Job, JobState, StepCounts
from milepost.core.progress import Counts, Span
from milepost.daemon.circumstances import key_holder, pause_file
from milepost.daemon.live import Live, RunningTask
from milepost.daemon.store import filters, queue, runs
from milepost.daemon.store.filters import Clause
from milepost.daemon.vigil import Vigil
from milepost.v1 import job_pb2 as pb

#: Parts of a kind that are kept as encoded.
KEPT_PARTS = 1000
#: Documents that are built before the loop gets a turn.
BURST = 5

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Surroundings:
    """What is known about jobs beside their rows, from the same read.

    `places` in the queue, from 1; `run_starts`: Unix seconds since when the open run has been going on; `key_holders`:
    by ended job, the unfinished one that holds its uniqueness key; `earlier_runs`: of jobs that had several, when the
    ended ones went on; `pause_file`: the one for all jobs, if it is there.
    """

    places: Mapping[str, int]
    run_starts: Mapping[str, float]
    key_holders: Mapping[str, str]
    earlier_runs: Mapping[str, Sequence[Span]] = field(default_factory=dict)
    pause_file: str | None = None

    def circumstances(self, job_id: str) -> Circumstances:
        return Circumstances(self.key_holders.get(job_id), self.pause_file)


@dataclass(frozen=True)
class Document:
    """`encoded`: a `Job`. The rest is what filters and the queue ask of it."""

    job: Job
    place: int
    counts: Counts
    findings: Sequence[Finding]
    encoded: bytes

    def message(self) -> pb.Job:
        return pb.Job.FromString(self.encoded)

    def subject(self) -> FilterSubject:
        return subject(self.job, self.counts, {finding.kind for finding in self.findings})


def subject(job: Job, counts: Counts, findings: Collection[FindingKind]) -> FilterSubject:
    """What a filter sees of the job."""
    return FilterSubject(
        id=job.id,
        name=job.name,
        state=job.state,
        pipeline=job.pipeline,
        queue=job.queue,
        labels=job.labels,
        create_time=job.create_time,
        activity_time=job.activity_time,
        priority=job.priority,
        total=counts.total,
        succeeded=counts.succeeded,
        failed=counts.failed,
        skipped=counts.skipped,
        findings=frozenset(findings),
    )


class Snapshots:
    """Builds documents. `live`: what is in flight of a job; `folder`: the state folder."""

    def __init__(self, folder: Path, live: Callable[[str], Live], vigil: Vigil) -> None:
        self._folder = folder
        self._live = live
        self._lasting = _Lasting()
        #: Jobs whose last document could not be built, so that each is logged once.
        self._broken: set[str] = set()
        self._vigil = vigil

    def clause(self, node: Node) -> Clause:
        """The jobs that a filter asks for now."""
        return filters.to_clause(node, time.time(), self._vigil.noticed())

    def surroundings(self, db: sqlite3.Connection, found: Sequence[Job]) -> Surroundings:
        """For documents of these jobs, to be read in the same snapshot as they were."""
        any_queued = any(job.state is JobState.QUEUED for job in found)
        return Surroundings(
            places=queue.places(db) if any_queued else {},
            run_starts=runs.open_since(db),
            key_holders={job.id: holder for job in found if (holder := key_holder(db, job)) is not None},
            earlier_runs=runs.ended_spans(db, [job.id for job in found if job.run_count > 1]),
            pause_file=pause_file(self._folder),
        )

    async def build(self, found: Sequence[Job], around: Surroundings) -> list[Document | None]:
        """One document a job, in the same order; the loop gets turns in between.

        None for one that cannot be built: nobody is to miss the other jobs for it.
        """
        documents = []
        for number, job in enumerate(found):
            if number and number % BURST == 0:
                await asyncio.sleep(0)
            documents.append(self._build_or_tell(job, around))
        return documents

    def _build_or_tell(self, job: Job, around: Surroundings) -> Document | None:
        try:
            document = self.document(job, around)
        except Exception:
            if job.id not in self._broken:
                logger.exception("%s is not shown: its document cannot be built", job.id)
            self._broken.add(job.id)
            return None
        self._broken.discard(job.id)
        return document

    def document(self, job: Job, around: Surroundings) -> Document:
        live, now = self._live(job.id), time.time()
        definition = from_json(job.definition_json)
        found = self._vigil.findings(job, definition)
        noticed = found if live.unrecorded is None else (*found, live.unrecorded)
        steps = progress.step_counts(definition, job.steps, live.in_flight)
        offered = actions(job, definition, steps, around.circumstances(job.id), stalled=does_not_get_on(found))
        counts, place = progress.job_counts(definition, steps), around.places.get(job.id, 0)
        changing = pb.Job(
            queue_position=place,
            counts=wire.counts(counts),
            outcomes=wire.outcomes(progress.job_outcomes(definition, job.steps)),
            activity_time=timestamp(job.activity_time),
            folder=f"{self._folder}/jobs/{job.id}",
            parameters_json=job.parameters_json,
            revision=job.revision,
            command=definition.command,
            findings=[wire.finding(finding) for finding in noticed],
        )
        parts = (
            self._lasting.encoded(job),
            changing.SerializeToString(),
            *_progress(job, definition, steps, live, around, now),
            *(_in_flight(task, definition.steps[task.step].name) for task in live.tasks),
            *map(_action, offered),
        )
        return Document(job, place, counts, noticed, b"".join(parts))


#: What changes with each task, and what may be large.
_NOT_LASTING = {"revision", "activity_time", "steps", "definition_json", "parameters_json", "environment"}
_lasting_values = attrgetter(*(name for name in Job.__dataclass_fields__ if name not in _NOT_LASTING))


class _Lasting:
    """What documents have from the other fields of their rows, as last encoded."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[object, bytes]] = OrderedDict()

    def encoded(self, job: Job) -> bytes:
        values = _lasting_values(job)
        kept = self._kept.pop(job.id, None)
        if kept is None or kept[0] != values:
            kept = values, _lasting(job).SerializeToString()
            if len(self._kept) >= KEPT_PARTS:
                self._kept.popitem(last=False)
        self._kept[job.id] = kept
        return kept[1]


def _lasting(job: Job) -> pb.Job:
    return pb.Job(
        id=job.id,
        name=job.name,
        state=JOB_STATES[job.state],
        reason=wire.reason(job.reason),
        stop=wire.stop(job.stop),
        pipeline=job.pipeline,
        pipeline_source=_source_text(job.source_json),
        labels=job.labels,
        queue=job.queue,
        priority=job.priority,
        create_time=timestamp(job.create_time),
        start_time=timestamp(job.start_time),
        end_time=timestamp(job.end_time),
        scheduled_time=timestamp(job.scheduled_time),
        run_count=job.run_count,
        resume_count=job.resume_count,
        auto_resume_count=job.auto_resume_count,
        runner_lost_policy=RUNNER_LOST_POLICIES[job.runner_lost_policy],
        python=job.python,
        working_directory=job.working_directory,
        input=wire.input_info(job.input),
        submitted_by=job.submitted_by,
        omitted_variables=job.omitted_variables,
        retry_count=job.retry_count,
        next_retry_time=timestamp(job.next_retry_time),
    )


def _progress(
    job: Job, definition: PipelineDefinition, counts: Sequence[Counts], live: Live, around: Surroundings, now: float
) -> Iterator[bytes]:
    """Of the job, and of its steps."""
    rates = [progress.rate(live.samples.get(step.position, ()), now) for step in job.steps]
    spans = _run_spans(job, around, now)
    whole = _job_progress(job, definition, counts, rates, around.run_starts.get(job.id), now)
    yield pb.Job(progress=whole).SerializeToString()
    for step, shape, count, rate in zip(job.steps, definition.steps, counts, rates, strict=True):
        yield _step(step, shape.takes, shape.gives, count, rate, _elapsed(step, spans, now))


def _job_progress(
    job: Job,
    definition: PipelineDefinition,
    counts: Sequence[Counts],
    rates: Sequence[float],
    run_start: float | None,
    now: float,
) -> pb.Progress:
    running = max(0.0, now - run_start) if run_start is not None else 0.0
    return pb.Progress(
        percent=progress.job_percent(definition, counts),
        rate=_job_rate(definition, counts, rates),
        eta=duration(_job_eta(definition, counts, rates)),
        elapsed=duration(job.elapsed + running),
    )


def _job_rate(definition: PipelineDefinition, counts: Sequence[Counts], rates: Sequence[float]) -> float:
    """Items (or steps of a pipeline without items) processed per second.

    An item is processed where it leaves its line: at the last step every one does, before it those that fail or are
    skipped, as far as we know in the share that did so until now.
    """
    line = [position for position, shape in enumerate(definition.steps) if shape.line == definition.item_line]
    total = 0.0
    for position in line:
        count = counts[position]
        all_leave = position == line[-1] or definition.item_line == 0
        left = count.processed if all_leave else count.failed + count.skipped
        total += rates[position] * left / count.processed if count.processed else 0.0
    return total


def _job_eta(definition: PipelineDefinition, counts: Sequence[Counts], rates: Sequence[float]) -> float | None:
    """By tasks, because a pipeline with barriers processes no item for a long time."""
    shown = [position for position, shape in enumerate(definition.steps) if not shape.enumerates]
    known = all(count.total_known for count in counts)
    tasks_per_second = sum(rates[position] for position in shown)
    remaining = sum(counts[position].remaining for position in shown)
    return remaining / tasks_per_second if known and tasks_per_second > 0 and remaining else None


def _run_spans(job: Job, around: Surroundings, now: float) -> list[Span]:
    """When a runner worked for the job."""
    since, started = around.run_starts.get(job.id), job.start_time
    spans = list(around.earlier_runs.get(job.id, ()))
    if since is not None:
        spans.append(Span(since, now))
    elif not spans and started is not None:
        spans.append(Span(started, started + job.elapsed))  # its only run
    return spans


def _elapsed(step: StepCounts, spans: Sequence[Span], now: float) -> float | None:
    if step.start_time is None:
        return None
    return progress.seconds_at_work(Span(step.start_time, step.end_time or now), spans)


@lru_cache(maxsize=KEPT_PARTS)
def _step(step: StepCounts, takes: Takes, gives: Gives, counts: Counts, rate: float, elapsed: float | None) -> bytes:
    seconds_left = progress.eta(counts, rate)
    message = pb.Step(
        name=step.name,
        position=step.position,
        counts=wire.counts(counts),
        progress=pb.Progress(
            percent=progress.percent([counts]), rate=rate, eta=duration(seconds_left), elapsed=duration(elapsed)
        ),
        outcomes=wire.outcomes(step.labels),
        start_time=timestamp(step.start_time),
        end_time=timestamp(step.end_time),
        takes=takes,
        gives=gives,
    )
    return pb.Job(steps=[message]).SerializeToString()


def _source_text(source_json: str) -> str:
    """As a person writes it: `creators.py`, `creators.py:name`, `package.module:name`, or the command."""
    source = json.loads(source_json)
    if "command" in source:
        return shlex.join(source["command"])
    where = source.get("file") or source.get("module", "")
    return f"{where}:{source['name']}" if source.get("name") else str(where)


@lru_cache(maxsize=KEPT_PARTS)
def _in_flight(task: RunningTask, step: str) -> bytes:
    message = pb.InFlightTask(
        step=step,
        item_key=task.key,
        item_id=task.item,
        attempt=task.attempt,
        start_time=timestamp(task.start_time),
    )
    return pb.Job(in_flight=[message]).SerializeToString()


@lru_cache(maxsize=KEPT_PARTS)
def _action(offered: Action) -> bytes:
    return pb.Job(actions=[wire.action(offered)]).SerializeToString()
