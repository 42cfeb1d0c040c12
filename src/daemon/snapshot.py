"""A job as clients see it: its row, what is known of its run beside the store, and what a person may do with it now."""

import asyncio
import logging
import sqlite3
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

from milepost.common.filter import FilterSubject, Node
from milepost.core import progress
from milepost.core.definition import PipelineDefinition, from_json
from milepost.core.findings import Finding, does_not_get_on
from milepost.core.lifecycle import Circumstances
from milepost.core.model import ACTIVE_STATES, FindingKind, Job, JobState
from milepost.core.progress import Counts, Span
from milepost.daemon.circumstances import key_holder, pause_file
from milepost.daemon.draft import Draft, View
from milepost.daemon.live import Live
from milepost.daemon.store import filters, queue, runs
from milepost.daemon.store.filters import Clause
from milepost.daemon.vigil import Vigil
from milepost.v1 import job_pb2 as pb

T = TypeVar("T")

#: Jobs whose drafts are kept.
KEPT_DRAFTS = 1000
#: Documents that are built before the loop gets a turn.
BURST = 10

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

    def of(self, job_id: str) -> "Surroundings":
        """Those of this job alone."""
        return Surroundings(
            _only(job_id, self.places),
            _only(job_id, self.run_starts),
            _only(job_id, self.key_holders),
            _only(job_id, self.earlier_runs),
            self.pause_file,
        )

    def circumstances(self, job_id: str) -> Circumstances:
        return Circumstances(self.key_holders.get(job_id), self.pause_file)


class Document(NamedTuple):
    """`encoded`: a `Job`. The rest is what filters and the queue ask of it, and what its actions depend on."""

    job: Job
    place: int
    circumstances: Circumstances
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
        job.id,
        job.name,
        job.state,
        job.pipeline,
        job.queue,
        job.labels,
        job.create_time,
        job.activity_time,
        job.priority,
        counts.total,
        counts.succeeded,
        counts.failed,
        counts.skipped,
        frozenset(findings),
    )


class Snapshots:
    """Builds documents. `live`: what is in flight of a job; `folder`: the state folder."""

    def __init__(self, folder: Path, live: Callable[[str], Live], vigil: Vigil) -> None:
        self._folder = folder
        self._live = live
        self._drafts: OrderedDict[str, Draft] = OrderedDict()
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

    async def build(self, found: Iterable[tuple[Job, Surroundings]]) -> list[Document | None]:
        """One document a job, in the same order; the loop gets turns in between.

        None for one that cannot be built: nobody is to miss the other jobs for it.
        """
        documents = []
        for number, (job, around) in enumerate(found):
            if number and number % BURST == 0:
                await asyncio.sleep(0)
            documents.append(self._build_or_tell(job, around))
        return documents

    def forget(self, job_id: str) -> None:
        """What is kept while the job runs: it may have ended, and nobody asked for its document since."""
        self._drafts.pop(job_id, None)

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
        counts = progress.step_counts(definition, job.steps, live.in_flight)
        total, place = progress.job_counts(definition, counts), around.places.get(job.id, 0)
        circumstances, run_start = around.circumstances(job.id), around.run_starts.get(job.id)
        encoded = self._draft(job, definition).encode(
            View(
                job,
                definition,
                now,
                place,
                counts,
                total,
                live,
                spans=_run_spans(job, run_start, around.earlier_runs.get(job.id, ()), now),
                running=max(0.0, now - run_start) if run_start is not None else 0.0,
                findings=noticed,
                circumstances=circumstances,
                stalled=does_not_get_on(found) if found else False,
            )
        )
        if job.state not in ACTIVE_STATES:
            self._drafts.pop(job.id, None)
        return Document(job, place, circumstances, total, noticed, encoded)

    def _draft(self, job: Job, definition: PipelineDefinition) -> Draft:
        """The one that is kept for a job that runs: it is told at each of its changes."""
        kept = self._drafts.get(job.id)
        if kept is not None and kept.serves(job, definition):
            return kept
        draft = Draft(job, definition, f"{self._folder}/jobs/{job.id}")
        if job.state in ACTIVE_STATES:
            self._drafts[job.id] = draft
            if len(self._drafts) > KEPT_DRAFTS:
                self._drafts.popitem(last=False)
        return draft


def _only(job_id: str, values: Mapping[str, T]) -> Mapping[str, T]:
    return {job_id: values[job_id]} if job_id in values else {}


def _run_spans(job: Job, since: float | None, earlier: Sequence[Span], now: float) -> list[Span]:
    """When a runner worked for the job."""
    spans = list(earlier)
    if since is not None:
        spans.append(Span(since, now))
    elif not spans and job.start_time is not None:
        spans.append(Span(job.start_time, job.start_time + job.elapsed))  # its only run
    return spans
