"""Running jobs as they stood when they were last told, so that they need not be read again for each task recorded.

What a commit says of how a job got on (`store.advance`) makes of it what it is then. Beside its own row, the document
of a running job depends on what only changes with that row: when its runs began and ended. Of jobs in other states it
depends on other jobs and on files too, so these are read each time.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from milepost.core.model import Job, JobState
from milepost.daemon.snapshot import Surroundings
from milepost.daemon.store.advance import Advance, advanced

#: By job: what was heard of it since it was told last. None: it has to be read.
Heard = Mapping[str, Sequence[Advance] | None]


class Known(NamedTuple):
    job: Job
    around: Surroundings

    @staticmethod
    def read(job: Job, around: Surroundings) -> "Known":
        """Without what the same read found of others: the whole queue would be kept for as long as this one runs."""
        return Known(job, around.of(job.id))


class KnownJobs:
    def __init__(self) -> None:
        self._known: dict[str, Known] = {}

    def after(self, heard: Heard) -> dict[str, Known]:
        """How these jobs stand now, without those that have to be read."""
        found = {}
        for job_id, advances in heard.items():
            known = self._known.get(job_id)
            if known is None or advances is None:
                continue
            job = advanced(known.job, advances)
            if job is not None:
                found[job_id] = Known(job, known.around)
        return found

    def keep(self, known: Known) -> None:
        """As it was read, or as `after` has it."""
        if known.job.state is JobState.RUNNING:
            self._known[known.job.id] = known
        else:
            self.forget(known.job.id)

    def forget(self, job_id: str) -> None:
        self._known.pop(job_id, None)
