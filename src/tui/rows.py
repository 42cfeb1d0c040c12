"""A job in the list: its document, and what is asked of every job for each filter and sort."""

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from milepost.core.model import FindingKind, JobState
from milepost.tui.status import RANKS, Status

if TYPE_CHECKING:
    from milepost.v1.job_pb2 import Job

#: Later than any time a job can have, in Unix seconds.
_FAR = 1e11
NO_ETA = 1e12


class JobRow(NamedTuple):
    """Made anew for each update of its job, in a named tuple because there are thousands a second. A `Filterable`.

    `attention` sorts what needs someone first, within a status the newest first, so that rows do not change places.
    """

    job: "Job"
    status: Status
    attention: float
    percent: float
    rate: float
    eta: float
    id: str
    name: str
    folded_name: str
    state: JobState
    pipeline: str
    queue: str
    labels: Mapping[str, str]
    create_time: float
    activity_time: float
    priority: int
    total: int
    succeeded: int
    failed: int
    skipped: int
    processed: int
    findings: frozenset[FindingKind]

    @property
    def is_moving(self) -> bool:
        """Whether a runner works for it."""
        return self.status in _MOVING


_NOTHING: frozenset[FindingKind] = frozenset()
_MOVING = frozenset({Status.STUCK, Status.RUNNING, Status.PAUSING, Status.CANCELLING})


def row_for(job: "Job") -> JobRow:
    from milepost.common.filter import fold  # loaded with the first job, after the first paint

    counts, progress, created, active = job.counts, job.progress, job.create_time, job.activity_time
    name = job.name
    findings = frozenset(_finding_kinds().get(one.kind, FindingKind.AT_RISK) for one in job.findings) or _NOTHING
    status = _status(job.state, findings)
    create_time = created.seconds + created.nanos / 1e9
    return JobRow(
        job=job,
        status=status,
        attention=RANKS[status] * _FAR + (_FAR - create_time),
        percent=progress.percent,
        rate=progress.rate,
        eta=float(progress.eta.seconds) if progress.HasField("eta") else NO_ETA,
        id=job.id,
        name=name,
        folded_name=fold(name),
        state=_states().get(job.state, JobState.WAITING),
        pipeline=job.pipeline,
        queue=job.queue,
        labels=job.labels,
        create_time=create_time,
        activity_time=active.seconds + active.nanos / 1e9,
        priority=job.priority,
        total=counts.total,
        succeeded=counts.succeeded,
        failed=counts.failed,
        skipped=counts.skipped,
        processed=counts.processed,
        findings=findings,
    )


def _status(state: int, findings: frozenset[FindingKind]) -> Status:
    """Unknown states of a newer daemon look WAITING: a person should look what it is."""
    status = _statuses().get(state, Status.WAITING)
    return Status.STUCK if status is Status.RUNNING and FindingKind.STUCK in findings else status


@cache
def _states() -> Mapping[int, JobState]:
    from milepost.common.wire.enums import JOB_STATES  # protobuf is there as soon as there is a document

    return {number: state for state, number in JOB_STATES.items()}


@cache
def _statuses() -> Mapping[int, Status]:
    return {number: Status(state.value) for number, state in _states().items()}


@cache
def _finding_kinds() -> Mapping[int, FindingKind]:
    from milepost.common.wire.enums import FINDING_KINDS

    return {number: kind for kind, number in FINDING_KINDS.items()}
