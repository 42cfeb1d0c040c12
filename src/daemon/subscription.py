"""One who watches: of which jobs it is to be told, and the messages that tell it."""

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from milepost.common.filter import EVERYTHING, Node, matches
from milepost.daemon.updates import Update
from milepost.v1 import job_service_pb2 as pb

MAX_MESSAGE_BYTES = 1024 * 1024


@dataclass(eq=False)  # two that hold the same are still two
class Subscription:
    """One watcher. `covered`: all changes up to this revision were sent or are in `dirty`.

    `shown`: jobs that it was sent. One that goes on from a token may hold others (`resumed`), so it is told once of
    each job that does not match, or is gone: `dismissed`. Nothing is remembered of who watches everything: what they
    are sent depends on the jobs alone, so it is made once for all of them.
    """

    filter: Node
    resumed: bool
    covered: int
    dirty: dict[str, None] = field(default_factory=dict)
    shown: set[str] = field(default_factory=set)
    dismissed: set[str] = field(default_factory=set)
    _change: asyncio.Future[None] | None = None

    def mark(self, job_ids: Mapping[str, None], revision: int) -> None:
        self.dirty.update(job_ids)
        self.covered = max(self.covered, revision)
        self.wake()

    def take(self, limit: int) -> dict[str, None]:
        if len(self.dirty) <= limit:
            taken, self.dirty = self.dirty, {}
            return taken
        taken = dict.fromkeys(islice(self.dirty, limit))
        for job_id in taken:
            del self.dirty[job_id]
        return taken

    async def changes(self) -> None:
        """Until `wake`. Not by an asyncio.Event, which takes a tenth of the time of a message more."""
        self._change = asyncio.get_running_loop().create_future()
        await self._change

    def wake(self) -> None:
        if self._change is not None and not self._change.done():
            self._change.set_result(None)

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


def messages(subscription: Subscription, updates: Iterable[Update]) -> Iterator[bytes]:
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


def live_messages(subscription: Subscription, known: Mapping[str, Update | None], token: str) -> list[bytes]:
    """What to say of these jobs, None for those that are gone; the last message has the token."""
    told = list(messages(subscription, [update for update in known.values() if update is not None]))
    gone = [job_id for job_id, update in known.items() if update is None]
    if deleted := [job_id for job_id in gone if subscription.dismisses(job_id)]:
        told.append(pb.WatchJobsResponse(deleted=deleted).SerializeToString())
    if told:
        told[-1] += pb.WatchJobsResponse(watch_token=token).SerializeToString()
    return told
