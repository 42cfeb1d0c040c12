"""Rows of documents. Loaded with the first document, after the first paint: it needs protobuf."""

from milepost.common.filter import fold
from milepost.common.wire.enums import FINDING_KINDS, JOB_STATES
from milepost.core.attention import Concern, concern
from milepost.core.model import FindingKind, JobState
from milepost.tui.rows import NO_ETA, JobRow
from milepost.tui.status import RANKS, Status
from milepost.v1 import job_pb2

#: Later than any time a job can have, in Unix seconds.
_FAR = 1e11
_NOTHING: frozenset[FindingKind] = frozenset()
#: Unknown states of a newer daemon look WAITING: a person should look what it is.
_STATES = {number: state for state, number in JOB_STATES.items()}
_STATUSES = {state: Status(state.value) for state in JobState}
_CONCERNS = {needs: Status(needs.value) for needs in Concern}
_FINDING_KINDS = {number: kind for kind, number in FINDING_KINDS.items()}


def row_for(job: job_pb2.Job) -> JobRow:
    counts, progress, created, active = job.counts, job.progress, job.create_time, job.activity_time
    name = job.name
    findings = frozenset(_FINDING_KINDS.get(one.kind, FindingKind.AT_RISK) for one in job.findings) or _NOTHING
    state = _STATES.get(job.state, JobState.WAITING)
    status = _status(state, findings, counts.failed)
    create_time = created.seconds + created.nanos / 1e9
    return JobRow(
        job=job,
        status=status,
        attention=RANKS[status] * _FAR + (_FAR - create_time),
        percent=progress.percent,
        rate=progress.rate,
        # What it was still to take before it got stuck says nothing.
        eta=float(progress.eta.seconds) if progress.HasField("eta") and status is not Status.STUCK else NO_ETA,
        id=job.id,
        name=name,
        folded_name=fold(name),
        state=state,
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


def _status(state: JobState, findings: frozenset[FindingKind], failed: int) -> Status:
    needs = concern(state, findings, failed)
    return _STATUSES[state] if needs is None else _CONCERNS[needs]
