"""A job in the list: its document, and what is asked of it for each repaint, filter and sort."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING

from milepost.tui.status import RANKS, Status

if TYPE_CHECKING:
    from milepost.common.filter import FilterSubject
    from milepost.v1.job_pb2 import Job

#: Later than any time a job can have, in Unix seconds.
_FAR = 1e11


@dataclass(eq=False)
class JobRow:
    """Made anew for each update of its job; `subject` is what a filter sees of it."""

    job: "Job"
    status: Status
    subject: "FilterSubject"

    @cached_property
    def attention(self) -> float:
        """Sorts what needs someone first; within a status the newest first, so that rows do not change places."""
        return RANKS[self.status] * _FAR + (_FAR - self.job.create_time.seconds)

    @property
    def is_moving(self) -> bool:
        """Whether its age, rate or elapsed time changes while nothing is told of it."""
        return self.status in _MOVING


_MOVING = frozenset({Status.STUCK, Status.RUNNING, Status.PAUSING, Status.CANCELLING})


def row_for(job: "Job") -> JobRow:
    from milepost.common.wire.subjects import subject  # protobuf is there as soon as there is a document

    return JobRow(job, status_of(job), subject(job))


def status_of(job: "Job") -> Status:
    """Unknown states of a newer daemon look WAITING: a person should look what it is."""
    status = _statuses().get(job.state, Status.WAITING)
    if status is Status.RUNNING and any(finding.kind == _stuck() for finding in job.findings):
        return Status.STUCK
    return status


@cache
def _statuses() -> Mapping[int, Status]:
    from milepost.common.wire.enums import JOB_STATES

    return {number: Status(state.value) for state, number in JOB_STATES.items()}


@cache
def _stuck() -> int:
    from milepost.v1 import job_pb2

    return job_pb2.FINDING_KIND_STUCK
