"""What changes, told to everyone who watches: the current state of each job, never a queue of its past.

The hub hears of every commit and of changes in flight. It collects them for a frame, reads the changed jobs once,
where the commits do not say what they are now, encodes each once, and marks them for every subscription. A subscription
holds ids, not messages: a client that reads slowly gets the newest state of each job when it reads, and the memory it
costs is bounded by the number of jobs.

A watch token is `<store id>:<revision>`: all that was committed up to this revision has been sent. Reading and encoding
is done by one at a time, in order, and a watch begins between two frames, so no one is ever sent an older state after a
newer one.
"""

import asyncio
import logging
import re
import sqlite3
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from milepost.common.filter import EVERYTHING, Node, parse
from milepost.core.errors import Code, MilepostError
from milepost.core.model import Job
from milepost.daemon.known_jobs import Heard, Known, KnownJobs
from milepost.daemon.snapshot import Snapshots
from milepost.daemon.store import jobs, queue
from milepost.daemon.store.advance import Advance
from milepost.daemon.store.filters import Clause
from milepost.daemon.store.group_commit import Commit
from milepost.daemon.store.store import Store
from milepost.daemon.subscription import Subscription, live_messages, messages
from milepost.daemon.updates import Cache, Update, is_current, tells
from milepost.v1 import job_service_pb2 as pb

#: Seconds between two frames at least; the first change after a quiet time is sent at once.
FRAME = 0.01
#: Seconds of rest for each second that a frame takes with those who are ready to get it: commits go on meanwhile.
REST = 1.0
#: Seconds until a frame that failed is tried again.
FAILED_FRAME = 1.0
#: Jobs that are read and encoded together.
CHUNK = 100
#: Places in the queue whose changes are told without a change of the job itself.
TOLD_PLACES = 100

Select = Callable[[sqlite3.Connection], list[Job]]
#: Takes an encoded WatchJobsResponse, and returns when the next one can be taken.
Send = Callable[[bytes], Awaitable[None]]

logger = logging.getLogger(__name__)

_TOKEN = re.compile(r"([0-9a-f-]{1,64}):([0-9]{1,18})")


class Hub:
    """Run `run()` as a task; `close()` ends it and every watch."""

    def __init__(self, store: Store, snapshots: Snapshots) -> None:
        self._store = store
        self._snapshots = snapshots
        self._subscriptions: list[Subscription] = []
        #: Since the last frame.
        self._heard: dict[str, list[Advance] | None] = {}
        self._revision = store.revision
        self._wake = asyncio.Event()
        self._closed = False
        self._framing = asyncio.Lock()
        self._reading = asyncio.Lock()
        self._known = KnownJobs()
        self._latest = Cache()
        self._shared = _Shared()
        self._places: dict[str, int] = {}
        store.listen(self._committed)

    async def run(self) -> None:
        while not self._closed:
            await self._wake.wait()
            self._wake.clear()
            begun = time.monotonic()  # the loop's own time stands still while it works
            try:
                async with self._framing:
                    await self._frame()
            except Exception:
                logger.exception("changes of %d jobs could not be told, which is tried again", len(self._heard))
                self._wake.set()
                await asyncio.sleep(FAILED_FRAME)
            await asyncio.sleep(0)  # those who are ready take it now
            await asyncio.sleep(max(FRAME, (time.monotonic() - begun) * REST))

    def close(self) -> None:
        self._closed = True
        self._wake.set()
        for subscription in self._subscriptions:
            subscription.wake()

    @property
    def watchers(self) -> int:
        return len(self._subscriptions)

    def changed(self, job_id: str) -> None:
        """Something that is not in the store has changed: what is in flight."""
        self._heard.setdefault(job_id, [])
        self._wake.set()

    def _committed(self, commit: Commit) -> None:
        for job_id in commit.job_ids:
            advance = commit.advances.get(job_id)
            if advance is None:
                self._heard[job_id] = None
            elif (known := self._heard.setdefault(job_id, [])) is not None:
                known.append(advance)
        self._revision = commit.revision
        self._wake.set()

    async def _frame(self) -> None:
        """Tells what was heard since the last one. What could not be told is read when it is tried again."""
        places, heard, self._heard = self._places, self._heard, {}
        try:
            await self._tell(heard, self._revision)
        except Exception:
            self._heard |= dict.fromkeys(heard)
            self._places = places
            raise

    async def _tell(self, heard: Heard, revision: int) -> None:
        if not self._subscriptions:
            await self._forget(heard)
            return
        updates: dict[str, Update | None] = {}
        for chunk in _chunks(sorted(heard)):
            updates |= await self._refresh({job_id: heard[job_id] for job_id in chunk})
        moved = await self._moved(updates)
        for chunk in _chunks(sorted(moved)):
            await self._refresh(dict.fromkeys(chunk))
        changed = dict.fromkeys(heard.keys() | moved)
        for subscription in self._subscriptions:
            subscription.mark(changed, revision)

    async def _forget(self, job_ids: Collection[str]) -> None:
        async with self._reading:  # a list that is being made would keep what it read before
            for job_id in job_ids:
                self._latest.forget(job_id)
                self._known.forget(job_id)
                self._snapshots.forget(job_id)

    async def _moved(self, updates: Mapping[str, Update | None]) -> set[str]:
        """Jobs whose place in the queue changed with these, and is not what the updates say.

        The updates were read before the places are, so they may be older.
        """
        before = self._places
        if not any(job_id in before or (update and update.is_queued) for job_id, update in updates.items()):
            return set()
        async with self._reading:
            self._places = await self._store.read(queue.places)
        return {
            job_id
            for job_id, place in self._places.items()
            if place <= TOLD_PLACES and before.get(job_id) != place and not tells(updates.get(job_id), place)
        }

    # --- reading and encoding, one at a time ---

    async def _refresh(self, heard: Heard) -> dict[str, Update | None]:
        """Encodes these jobs anew. None for those that are gone; without those that cannot be built."""
        async with self._reading:
            known = self._known.after(heard)
            unknown = [job_id for job_id in heard if job_id not in known]
            read = await self._read(lambda db: jobs.by_ids(db, unknown)) if unknown else {}
            for job_id in unknown:
                self._known.forget(job_id)
            updates: dict[str, Update | None] = dict.fromkeys(set(unknown) - read.keys())
            updates |= await self._encode([*known.values(), *read.values()])
            self._latest.keep(updates)
            return updates

    async def _read(self, select: Select) -> dict[str, Known]:
        """By id, without those that are gone."""

        def read(db: sqlite3.Connection) -> dict[str, Known]:
            found = select(db)
            around = self._snapshots.surroundings(db, found)
            return {job.id: Known.read(job, around) for job in found}

        return await self._store.read(read)

    async def find(self, select: Select) -> tuple[list[Job], list[Update | None]]:
        """The jobs that are selected, as rows, and encoded as they are then; None for one that cannot be built."""
        found = await self._store.read(select)  # not in turn with frames: some filters take long
        async with self._reading:
            read = await self._read(lambda db: jobs.current(db, found))
            kept = {job_id: self._latest.get(job_id) for job_id in read}
            stale = {job_id: known for job_id, known in read.items() if not self._is_current(kept[job_id], known)}
            fresh = await self._encode(list(stale.values()))
            self._latest.keep(fresh)
            updates = {**kept, **dict.fromkeys(stale), **fresh}
            return found, [updates.get(job.id) for job in found]

    def _is_current(self, update: Update | None, known: Known) -> bool:
        return known.job.id not in self._heard and is_current(update, *known)

    async def _encode(self, found: Sequence[Known]) -> dict[str, Update]:
        """Without those that cannot be built."""
        for known in found:
            self._known.keep(known)
        documents = await self._snapshots.build(found)
        return {document.job.id: Update.of(document) for document in documents if document is not None}

    # --- watching ---

    async def watch(self, token: str, filter_text: str, send: Send) -> None:
        """Until the hub is closed, or it is cancelled.

        Raises MilepostError: INVALID_PAGE_TOKEN for a token that never was one, INVALID_FILTER; and what `send` raises.
        """
        node = parse(filter_text)
        since = self._since(token)
        async with self._framing:  # what a frame tells that has begun may be older than the token
            subscription = Subscription(node, resumed=since > 0, covered=self._store.revision)
            self._subscriptions.append(subscription)
        try:
            if len(self._subscriptions) == 1:
                # Frames keep it up to date from here on, as long as someone watches.
                async with self._reading:
                    self._places = await self._store.read(queue.places)
            if token and not since:
                await send(pb.WatchJobsResponse(resync=True).SerializeToString())
            await self._catch_up(subscription, since, send)
            await self._follow(subscription, send)
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

    async def _catch_up(self, subscription: Subscription, since: int, send: Send) -> None:
        """What changed up to the start of the watch; what changes meanwhile is marked by frames."""
        target = subscription.covered
        deleted = await self._store.read(lambda db: jobs.deleted_since(db, since)) if since else []
        if deleted:
            await send(pb.WatchJobsResponse(deleted=deleted).SerializeToString())
        node = None if subscription.resumed else subscription.filter
        revision, sequence = since, 1 << 62
        while not self._closed:
            found, updates = await self.find(partial(self._changed, node, revision, sequence))
            for message in messages(subscription, (update for update in updates if update is not None)):
                await send(message)
            if len(found) < CHUNK or found[-1].revision > target:
                break
            revision, sequence = found[-1].revision, found[-1].sequence
        if self._closed:
            return  # whoever goes on from the token would never hear of the rest
        await send(pb.WatchJobsResponse(watch_token=self.token(target), caught_up=True).SerializeToString())

    def _changed(self, node: Node | None, revision: int, after_sequence: int, db: sqlite3.Connection) -> list[Job]:
        """The next jobs in order of (revision, sequence)."""
        clause = self._snapshots.clause(node) if node is not None else Clause("")
        return jobs.changed_since(db, revision, CHUNK, clause.sql, clause.arguments, after_sequence)

    async def _follow(self, subscription: Subscription, send: Send) -> None:
        while not self._closed:
            if not subscription.dirty:
                await subscription.changes()
                continue
            taken = subscription.take(CHUNK)
            # Before the next wait: what comes then is not in this message.
            token = self.token(subscription.covered) if not subscription.dirty else ""
            known = self._latest.known(taken)
            missing = [job_id for job_id in taken if job_id not in known]
            if missing:
                known |= await self._refresh(dict.fromkeys(missing))
            for message in self._live_messages(subscription, known, token):
                await send(message)

    def _live_messages(
        self, subscription: Subscription, known: dict[str, Update | None], token: str
    ) -> Sequence[bytes]:
        if subscription.filter is not EVERYTHING:
            return live_messages(subscription, known, token)
        if self._shared.known != known or self._shared.token != token:
            self._shared = _Shared(known, token, live_messages(subscription, known, token))
        return self._shared.messages


@dataclass(frozen=True)
class _Shared:
    """What was last sent to one who watches everything, for the next one who is to be sent the same."""

    known: Mapping[str, Update | None] = field(default_factory=dict)
    token: str = ""
    messages: Sequence[bytes] = ()


def _chunks(job_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(job_ids), CHUNK):
        yield job_ids[start : start + CHUNK]
