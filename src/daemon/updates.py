"""Jobs as watchers get them: encoded once for all, and kept for the next one who asks."""

import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from milepost.common.filter import FilterSubject
from milepost.core.lifecycle import Circumstances
from milepost.core.model import ACTIVE_STATES, Job, JobState
from milepost.daemon.snapshot import Document, Surroundings
from milepost.v1 import job_service_pb2 as pb

#: Encoded jobs that are kept.
CACHE_BYTES = 16 * 1024 * 1024
#: Seconds that a running job, encoded once, is good enough for those who begin to watch.
REUSE = 1.0

#: Of a field whose value has a length: its number, and wire type 2.
_JOBS_TAG = bytes([pb.WatchJobsResponse.JOBS_FIELD_NUMBER << 3 | 2])


class Update(NamedTuple):
    """A job as watchers get it, as of `time` (Unix seconds).

    `place`: in the queue. `circumstances`: on which its actions depend. `encoded`: a WatchJobsResponse with this job
    only, and a ListJobsResponse as well, which has its jobs in the same field; such messages are put together by
    joining their bytes.
    """

    revision: int
    time: float
    subject: FilterSubject
    place: int
    circumstances: Circumstances
    encoded: bytes

    @staticmethod
    def of(document: Document) -> "Update":
        """As of now."""
        return Update(
            document.job.revision,
            time.time(),
            document.subject(),
            document.place,
            document.circumstances,
            _response_with(document.encoded),
        )

    @property
    def job_id(self) -> str:
        return self.subject.id

    @property
    def is_queued(self) -> bool:
        return self.subject.state is JobState.QUEUED


def _response_with(job: bytes) -> bytes:
    """A response with this encoded job: the tag of its field, the length of the job, the job.

    https://protobuf.dev/programming-guides/encoding/
    """
    length, prefix = len(job), bytearray(_JOBS_TAG)
    while length > 127:
        prefix.append(length & 127 | 128)
        length >>= 7
    prefix.append(length)
    return bytes(prefix) + job


def is_current(update: Update | None, job: Job, around: Surroundings) -> bool:
    """How long a running job has been running changes without a commit of it, as does what other jobs do to it."""
    if update is None or update.revision != job.revision:
        return False
    if not tells(update, around.places.get(job.id, 0)) or update.circumstances != around.circumstances(job.id):
        return False
    return job.state not in ACTIVE_STATES or time.time() - update.time < REUSE


def tells(update: Update | None, place: int) -> bool:
    return update is not None and update.place == place


class Cache:
    """The newest update of each job, None for one that is gone; the oldest are dropped beyond CACHE_BYTES."""

    def __init__(self) -> None:
        self._updates: OrderedDict[str, Update | None] = OrderedDict()
        self._bytes = 0

    def known(self, job_ids: Iterable[str]) -> dict[str, Update | None]:
        updates = self._updates
        return {job_id: updates[job_id] for job_id in job_ids if job_id in updates}

    def get(self, job_id: str) -> Update | None:
        return self._updates.get(job_id)

    def keep(self, updates: Mapping[str, Update | None] | Mapping[str, Update]) -> None:
        for job_id, update in updates.items():
            self.forget(job_id)
            self._updates[job_id] = update
            self._bytes += _size(update)
        while self._bytes > CACHE_BYTES:
            _, oldest = self._updates.popitem(last=False)
            self._bytes -= _size(oldest)

    def forget(self, job_id: str) -> None:
        if job_id in self._updates:
            self._bytes -= _size(self._updates.pop(job_id))


def _size(update: Update | None) -> int:
    return 500 + (len(update.encoded) if update is not None else 0)
