"""What a filter sees of a job document."""

from milepost.common.filter import FilterSubject
from milepost.common.wire.enums import JOB_STATES
from milepost.core.model import JobState
from milepost.v1 import job_pb2 as pb

_STATES = {number: state for state, number in JOB_STATES.items()}


def subject(document: pb.Job) -> FilterSubject:
    counts = document.counts
    created, active = document.create_time, document.activity_time
    return FilterSubject(
        id=document.id,
        name=document.name,
        # What a newer daemon may say is shown as something that needs a look.
        state=_STATES.get(document.state, JobState.WAITING),
        pipeline=document.pipeline,
        queue=document.queue,
        labels=document.labels,
        create_time=created.seconds + created.nanos / 1e9,
        activity_time=active.seconds + active.nanos / 1e9,
        priority=document.priority,
        total=counts.total,
        succeeded=counts.succeeded,
        failed=counts.failed,
        skipped=counts.skipped,
    )
