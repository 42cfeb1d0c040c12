"""A job in the list: its document, and what is asked of every job for each filter and sort (made by `row_making`)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from milepost.tui.status import Status

if TYPE_CHECKING:
    from milepost.core.model import FindingKind, JobState
    from milepost.v1.job_pb2 import Job, Step

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
    state: "JobState"
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
    findings: "frozenset[FindingKind]"

    @property
    def seconds_left(self) -> float | None:
        """None when its end cannot be foretold."""
        return self.eta if self.eta < NO_ETA else None

    @property
    def is_moving(self) -> bool:
        """Whether a runner works for it."""
        return self.status in _MOVING


def never_came(step: "Step") -> bool:
    """Whether no item ever will come to this step: all left the line in those before."""
    return step.HasField("end_time") and step.counts.upstream == step.counts.total > 0


_MOVING = frozenset({Status.STUCK, Status.RUNNING, Status.PAUSING, Status.CANCELLING})
