"""What changes, told to everyone who watches: the current state of each job, never a queue of its past.

The hub hears of every commit and of changes in flight. It collects them for a frame, reads the changed jobs once,
encodes each once, and marks them for every subscription. A subscription holds ids, not messages: a client that reads
slowly gets the newest state of each job when it reads, and the memory it costs is bounded by the number of jobs.

A watch token is `<store id>:<revision>`: all that was committed up to this revision has been sent. Reading and encoding
is done by one at a time, in order, so no one is ever sent an older state after a newer one.
"""

import asyncio
import logging
import re
import sqlite3
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from milepost.common.filter import EVERYTHING, FilterSubject, Node, matches, parse
from milepost.core.errors import Code, MilepostError
from milepost.core.lifecycle import Circumstances
from milepost.core.model import ACTIVE_STATES, Job, JobState
from milepost.daemon.snapshot import Document, Snapshots, Surroundings
from milepost.daemon.store import jobs, queue
from milepost.daemon.store.filters import Clause
from milepost.daemon.store.group_commit import Commit
from milepost.daemon.store.store import Store
from milepost.v1 import job_service_pb2 as pb

#: Seconds between two frames at least; the first change after a quiet time is sent at once.
FRAME = 0.01
#: Seconds of rest for each second that a frame takes with those who are ready to get it: commits go on meanwhile.
REST = 1.0
#: Seconds until a frame that failed is tried again.
FAILED_FRAME = 1.0
MAX_MESSAGE_BYTES = 1024 * 1024
#: Jobs that are read and encoded together.
CHUNK = 100
#: Encoded jobs that are kept for the next one who asks.
CACHE_BYTES = 16 * 1024 * 1024
#: Seconds that a running job, encoded once, is good enough for those who begin to watch.
REUSE = 1.0
#: Places in the queue whose changes are told without a change of the job itself.
TOLD_PLACES = 100

logger = logging.getLogger(__name__)

#: Of a field whose value has a length: its number, and wire type 2.
_JOBS_TAG = bytes([pb.WatchJobsResponse.JOBS_FIELD_NUMBER << 3 | 2])
_TOKEN = re.compile(r"([0-9a-f-]{1,64}):([0-9]{1,18})")


@dataclass(frozen=True)
class Update:
    """A job as watchers get it, as of `time` (Unix seconds).

    `place`: in the queue. `circumstances`: on which its actions depend. `encoded`: a WatchJobsResponse with this job
    only; such messages are put together by joining their bytes.
    """

    job_id: str
    revision: int
    time: float
    subject: FilterSubject
    place: int
    circumstances: Circumstances
    encoded: bytes


@dataclass
class _Subscription:
    """One watcher. `covered`: all changes up to this revision were sent or are in `dirty`.

    `shown`: jobs that it was sent. One that goes on from a token may hold others (`resumed`), so it is told once of
    each job that does not match, or is gone: `dismissed`. Nothing is remembered of who watches everything: what they
    are sent depends on the jobs alone, so it is made once for all of them.
    """

    filter: Node
    resumed: bool
    covered: int
    dirty: dict[str, None] = field(default_factory=dict)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    shown: set[str] = field(default_factory=set)
    dismissed: set[str] = field(default_factory=set)

    def mark(self, job_ids: Mapping[str, None], revision: int) -> None:
        self.dirty.update(job_ids)
        self.covered = max(self.covered, revision)
        self.wake.set()

    def take(self, limit: int) -> list[str]:
        if len(self.dirty) <= limit:
            taken, self.dirty = list(self.dirty), {}
            return taken
        taken = list(self.dirty)[:limit]
        for job_id in taken:
            del self.dirty[job_id]
        return taken

    def admits(self, update: Update) -> bool:
        """Whether the job is to be sent; otherwise `dismisses` tells whether to say that it left."""
        if self.filter is EVERYTHING:
            return True
        if not matches(self.filter, update.subject, time.time()):
            return False
        self.shown.add(update.job_id)
        self.dismissed.discard(update.job_id)
        return True

    def dismisses(self, job_id: str) -> bool:
        if self.filter is EVERYTHING:
            return True
        may_hold = job_id in self.shown or (self.resumed and job_id not in self.dismissed)
        self.shown.discard(job_id)
        self.dismissed.add(job_id)
        return may_hold


class Hub:
    """Run `run()` as a task; `close()` ends it and every watch."""

    def __init__(self, store: Store, snapshots: Snapshots) -> None:
        self._store = store
        self._snapshots = snapshots
        self._subscriptions: list[_Subscription] = []
        self._dirty: set[str] = set()
        self._revision = store.revision
        self._wake = asyncio.Event()
        self._closed = False
        self._reading = asyncio.Lock()
        self._latest = _Cache()
        self._shared = _Shared()
        self._places: dict[str, int] = {}
        store.listen(self._committed)

    async def run(self) -> None:
        clock = asyncio.get_running_loop().time
        while not self._closed:
            await self._wake.wait()
            self._wake.clear()
            begun = clock()
            dirty, self._dirty = self._dirty, set()
            try:
                await self._frame(dirty)
            except Exception:
                logger.exception("changes of %d jobs could not be told, which is tried again", len(dirty))
                self._dirty |= dirty
                self._wake.set()
                await asyncio.sleep(FAILED_FRAME)
            await asyncio.sleep(0)  # those who are ready take it now
            await asyncio.sleep(max(FRAME, (clock() - begun) * REST))

    def close(self) -> None:
        self._closed = True
        self._wake.set()
        for subscription in self._subscriptions:
            subscription.wake.set()

    @property
    def watchers(self) -> int:
        return len(self._subscriptions)

    def changed(self, job_id: str) -> None:
        """Something that is not in the store has changed: what is in flight."""
        self._dirty.add(job_id)
        self._wake.set()

    def _committed(self, commit: Commit) -> None:
        self._dirty |= commit.job_ids
        self._revision = commit.revision
        self._wake.set()

    async def _frame(self, dirty: set[str]) -> None:
        revision = self._revision
        if not self._subscriptions:
            for job_id in dirty:
                self._latest.forget(job_id)
            return
        updates: dict[str, Update | None] = {}
        for chunk in _chunks(sorted(dirty)):
            updates |= await self._refresh(chunk)
        moved = await self._moved(updates)
        for chunk in _chunks(sorted(moved)):
            await self._refresh(chunk)
        changed = dict.fromkeys(dirty | moved)
        for subscription in self._subscriptions:
            subscription.mark(changed, revision)

    async def _moved(self, updates: Mapping[str, Update | None]) -> set[str]:
        """Jobs whose place in the queue changed with these, and is not what the updates say.

        The updates were read before the places are, so they may be older.
        """
        before = self._places
        if not any(job_id in before or (update and _is_queued(update)) for job_id, update in updates.items()):
            return set()
        async with self._reading:
            self._places = await self._store.read(queue.places)
        return {
            job_id
            for job_id, place in self._places.items()
            if place <= TOLD_PLACES and before.get(job_id) != place and not _tells(updates.get(job_id), place)
        }

    # --- reading and encoding, one at a time ---

    async def _refresh(self, job_ids: Sequence[str]) -> dict[str, Update | None]:
        """Reads and encodes these jobs anew. None for those that are gone; without those that cannot be built."""

        def read(db: sqlite3.Connection) -> tuple[list[Job], Surroundings]:
            found = jobs.by_ids(db, job_ids)
            return found, self._snapshots.surroundings(db, found)

        async with self._reading:
            found, around = await self._store.read(read)
            gone: dict[str, Update | None] = dict.fromkeys(set(job_ids) - {job.id for job in found})
            updates = gone | await self._encode(found, around)
            self._latest.keep(updates)
            return updates

    async def _page(self, node: Node | None, revision: int, after_sequence: int) -> tuple[list[Job], list[Update]]:
        """The next jobs in order of (revision, sequence), as rows and encoded."""

        def read(db: sqlite3.Connection) -> tuple[list[Job], Surroundings]:
            clause = self._snapshots.clause(node) if node is not None else Clause("")
            found = jobs.changed_since(db, revision, CHUNK, clause.sql, clause.arguments, after_sequence)
            return found, self._snapshots.surroundings(db, found)

        async with self._reading:
            found, around = await self._store.read(read)
            kept = {job.id: self._latest.get(job.id) for job in found}
            stale = [job for job in found if not _is_current(kept[job.id], job, around)]
            fresh = await self._encode(stale, around)
            self._latest.keep(fresh)
            updates = [fresh.get(job.id) or kept[job.id] for job in found]
            return found, [update for update in updates if update is not None]

    async def _encode(self, found: Sequence[Job], around: Surroundings) -> dict[str, Update]:
        """Without those that cannot be built."""
        documents = await self._snapshots.build(found, around)
        return {document.job.id: _update(document, around) for document in documents if document is not None}

    # --- watching ---

    async def watch(self, token: str, filter_text: str) -> AsyncGenerator[bytes, None]:
        """Encoded WatchJobsResponses, until the hub is closed.

        Raises MilepostError: INVALID_PAGE_TOKEN for a token that never was one, INVALID_FILTER.
        """
        node = parse(filter_text)
        since = self._since(token)
        subscription = _Subscription(node, resumed=since > 0, covered=self._store.revision)
        self._subscriptions.append(subscription)
        try:
            if len(self._subscriptions) == 1:
                # Frames keep it up to date from here on, as long as someone watches.
                async with self._reading:
                    self._places = await self._store.read(queue.places)
            if token and not since:
                yield pb.WatchJobsResponse(resync=True).SerializeToString()
            async for message in self._catch_up(subscription, since):
                yield message
            async for message in self._follow(subscription):
                yield message
        finally:
            self._subscriptions.remove(subscription)

    def _since(self, token: str) -> int:
        """The revision to go on from; 0 when everything is to be sent."""
        if not token:
            return 0
        parts = _TOKEN.fullmatch(token)
        if parts is None:
            raise MilepostError(
                Code.INVALID_PAGE_TOKEN,
                "The watch token is not one that this daemon gave out.",
                "Watch without a token to begin with every job.",
                {"field": "watch_token"},
            )
        revision = int(parts[2])
        # Beyond the store's own: it was restored from an earlier copy.
        return revision if parts[1] == self._store.id and revision <= self._store.revision else 0

    def token(self, revision: int) -> str:
        return f"{self._store.id}:{revision}"

    async def _catch_up(self, subscription: _Subscription, since: int) -> AsyncIterator[bytes]:
        """What changed up to the start of the watch; what changes meanwhile is marked by frames."""
        target = subscription.covered
        deleted = await self._store.read(lambda db: jobs.deleted_since(db, since)) if since else []
        if deleted:
            yield pb.WatchJobsResponse(deleted=deleted).SerializeToString()
        node = None if subscription.resumed else subscription.filter
        revision, sequence = since, 1 << 62
        while not self._closed:
            found, updates = await self._page(node, revision, sequence)
            for message in _messages(subscription, updates):
                yield message
            if len(found) < CHUNK or found[-1].revision > target:
                break
            revision, sequence = found[-1].revision, found[-1].sequence
        yield pb.WatchJobsResponse(watch_token=self.token(target), caught_up=True).SerializeToString()

    async def _follow(self, subscription: _Subscription) -> AsyncIterator[bytes]:
        while not self._closed:
            if not subscription.dirty:
                subscription.wake.clear()
                await subscription.wake.wait()
                continue
            taken = subscription.take(CHUNK)
            # Before the next wait: what comes then is not in this message.
            token = self.token(subscription.covered) if not subscription.dirty else ""
            known = self._latest.known(taken)
            missing = [job_id for job_id in taken if job_id not in known]
            if missing:
                known |= await self._refresh(missing)
            for message in self._live_messages(subscription, known, token):
                yield message

    def _live_messages(
        self, subscription: _Subscription, known: dict[str, Update | None], token: str
    ) -> Sequence[bytes]:
        if subscription.filter is not EVERYTHING:
            return _live_messages(subscription, known, token)
        if self._shared.known != known or self._shared.token != token:
            self._shared = _Shared(known, token, _live_messages(subscription, known, token))
        return self._shared.messages


@dataclass(frozen=True)
class _Shared:
    """What was last sent to one who watches everything, for the next one who is to be sent the same."""

    known: Mapping[str, Update | None] = field(default_factory=dict)
    token: str = ""
    messages: Sequence[bytes] = ()


class _Cache:
    """The newest update of each job, None for one that is gone; the oldest are dropped beyond CACHE_BYTES."""

    def __init__(self) -> None:
        self._updates: OrderedDict[str, Update | None] = OrderedDict()
        self._bytes = 0

    def known(self, job_ids: Iterable[str]) -> dict[str, Update | None]:
        updates = self._updates
        return {job_id: updates[job_id] for job_id in job_ids if job_id in updates}

    def get(self, job_id: str) -> Update | None:
        return self._updates.get(job_id)

    def keep(self, updates: dict[str, Update | None] | dict[str, Update]) -> None:
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


def _update(document: Document, around: Surroundings) -> Update:
    job = document.job
    return Update(
        job_id=job.id,
        revision=job.revision,
        time=time.time(),
        subject=document.subject(),
        place=document.place,
        circumstances=around.circumstances(job.id),
        encoded=_response_with(document.encoded),
    )


def _response_with(job: bytes) -> bytes:
    """A WatchJobsResponse with this encoded job: its field's tag, the job's length, the job.

    https://protobuf.dev/programming-guides/encoding/
    """
    length, prefix = len(job), bytearray(_JOBS_TAG)
    while length > 127:
        prefix.append(length & 127 | 128)
        length >>= 7
    prefix.append(length)
    return bytes(prefix) + job


def _size(update: Update | None) -> int:
    return 500 + (len(update.encoded) if update is not None else 0)


def _is_current(update: Update | None, job: Job, around: Surroundings) -> bool:
    """How long a running job has been running changes without a commit of it, as does what other jobs do to it."""
    if update is None or update.revision != job.revision:
        return False
    if not _tells(update, around.places.get(job.id, 0)) or update.circumstances != around.circumstances(job.id):
        return False
    return job.state not in ACTIVE_STATES or time.time() - update.time < REUSE


def _tells(update: Update | None, place: int) -> bool:
    return update is not None and update.place == place


def _is_queued(update: Update) -> bool:
    return update.subject.state is JobState.QUEUED


def _messages(subscription: _Subscription, updates: Iterable[Update]) -> Iterator[bytes]:
    """Joined to messages of at most MAX_MESSAGE_BYTES, but for a single job that is larger."""
    parts: list[bytes] = []
    size = 0
    left = []
    for update in updates:
        if subscription.admits(update):
            if size + len(update.encoded) > MAX_MESSAGE_BYTES and parts:
                yield b"".join(parts)
                parts, size = [], 0
            parts.append(update.encoded)
            size += len(update.encoded)
        elif subscription.dismisses(update.job_id):
            left.append(update.job_id)
    if left:
        parts.append(pb.WatchJobsResponse(left_filter=left).SerializeToString())
    if parts:
        yield b"".join(parts)


def _live_messages(subscription: _Subscription, known: Mapping[str, Update | None], token: str) -> list[bytes]:
    """What to say of these jobs, None for those that are gone; the last message has the token."""
    messages = list(_messages(subscription, [update for update in known.values() if update is not None]))
    gone = [job_id for job_id, update in known.items() if update is None]
    if deleted := [job_id for job_id in gone if subscription.dismisses(job_id)]:
        messages.append(pb.WatchJobsResponse(deleted=deleted).SerializeToString())
    if messages:
        messages[-1] += pb.WatchJobsResponse(watch_token=token).SerializeToString()
    return messages


def _chunks(job_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(job_ids), CHUNK):
        yield job_ids[start : start + CHUNK]
