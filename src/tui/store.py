"""Every job as last told. Pure: it is given updates and says what changed; it draws nothing and asks nobody."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from milepost.tui.rows import JobRow
from milepost.tui.status import Status

if TYPE_CHECKING:
    from milepost.v1.job_pb2 import Job
    from milepost.v1.job_service_pb2 import WatchJobsResponse


@dataclass
class Changes:
    """Since they were last taken. `moved`: jobs came, went, or changed their status, so the list may change."""

    dirty: set[str] = field(default_factory=set)
    moved: bool = False

    def __bool__(self) -> bool:
        return self.moved or bool(self.dirty)


class JobStore:
    """`complete` is False until everything up to the start of the watch has been told."""

    def __init__(self) -> None:
        self.rows: dict[str, JobRow] = {}
        self.by_status: Counter[Status] = Counter()
        #: Ids of jobs that a runner works for.
        self.moving: set[str] = set()
        self.complete = False
        self._changes = Changes()
        #: While everything is told anew: what has been told again. The rest is dropped only when that is complete.
        self._told: set[str] | None = None

    def begin_anew(self) -> None:
        """Every job is going to be told: what is not told until then is gone."""
        self._told = set()

    def interrupt(self) -> None:
        """The watch was lost: what was not told to the end will be told from its beginning."""
        if self._told is not None:
            self.begin_anew()

    def apply(self, update: "WatchJobsResponse") -> None:
        if update.resync:
            self.begin_anew()
        for job in update.jobs:
            self._put(job)
        for job_id in (*update.deleted, *update.left_filter):
            self._drop(job_id)
        if update.caught_up:
            self._settle()

    def take_changes(self) -> Changes:
        taken, self._changes = self._changes, Changes()
        return taken

    def _put(self, job: "Job") -> None:
        from milepost.tui.row_making import row_for  # loaded with the first document

        row, before = row_for(job), self.rows.get(job.id)
        self.rows[job.id] = row
        self._changes.dirty.add(job.id)
        if self._told is not None:
            self._told.add(job.id)
        if before is None or before.status is not row.status:
            self._changes.moved = True
            self._count(before, row)

    def _count(self, before: JobRow | None, row: JobRow) -> None:
        if before is not None:
            self.by_status[before.status] -= 1
        self.by_status[row.status] += 1
        if row.is_moving:
            self.moving.add(row.id)
        else:
            self.moving.discard(row.id)

    def _drop(self, job_id: str) -> None:
        row = self.rows.pop(job_id, None)
        if row is None:
            return
        self.by_status[row.status] -= 1
        self.moving.discard(job_id)
        self._changes.moved = True

    def _settle(self) -> None:
        if self._told is not None:
            self._drop_all(self.rows.keys() - self._told)
            self._told = None
        if not self.complete:
            self.complete = True
            self._changes.moved = True

    def _drop_all(self, job_ids: Iterable[str]) -> None:
        for job_id in list(job_ids):
            self._drop(job_id)

    # --- what the header tells ---

    @property
    def rate(self) -> float:
        """Items processed per second, all jobs together."""
        return sum(self.rows[job_id].rate for job_id in self.moving)

    @property
    def eta(self) -> float | None:
        """Seconds until the last of the running jobs whose end can be foretold is through."""
        known = [left for job_id in self.moving if (left := self.rows[job_id].seconds_left) is not None]
        return max(known, default=None)
