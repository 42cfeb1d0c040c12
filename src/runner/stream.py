"""What is said to the daemon and when: keeps a stream attached, sends what is due, hands on what comes."""

import asyncio
import contextlib
import logging
import random
from collections import deque
from collections.abc import Callable

from milepost.runner.gathers import Gathers
from milepost.runner.link import Attachment, Link, LinkLost
from milepost.runner.outbox import Outbox
from milepost.v1 import runner_service_pb2 as pb

_LOG = logging.getLogger(__name__)

#: Seconds: a stream that breaks sooner was no good, and the longest pause after a row of those.
_SHORT_LIVED = 1.0
_LONGEST_PAUSE = 1.0
#: Seconds between two batches that nobody waits for: a batch costs a commit and three messages, however small it is.
_BATCH_INTERVAL = 0.02


class Stream:
    """`outbox` and `gathers` are filled by others; `on_quiet` is called when everything that was due has been sent."""

    def __init__(self, link: Link, heartbeat: Callable[[], pb.Heartbeat], on_quiet: Callable[[], None]) -> None:
        self._link = link
        self._heartbeat = heartbeat
        self._on_quiet = on_quiet
        self._wake = asyncio.Event()
        self._inspections: deque[pb.Inspection] = deque()
        self._is_resting = False
        self._is_ending = False
        self._detached = asyncio.Event()
        self._detached.set()
        self.outbox = Outbox(self._wake_for_batch)
        self.gathers = Gathers(self._wake.set)
        self.is_heartbeat_due = False

    @property
    def is_attached(self) -> bool:
        return not self._detached.is_set()

    async def stay_attached(
        self,
        hello: Callable[[], pb.Hello],
        on_welcome: Callable[[pb.Welcome], None],
        on_response: Callable[[pb.AttachResponse], None],
        on_lost: Callable[[], None],
    ) -> None:
        """Until `end`. Raises Refused."""
        clock = asyncio.get_running_loop().time
        short_lived = 0
        while True:
            attachment = await self._link.attach(hello)
            begun = clock()
            self._detached.clear()
            try:
                self.outbox.send_again()
                self.gathers.send_again()
                on_welcome(attachment.welcome)
                await self._converse(attachment, on_response)
            finally:
                self._detached.set()
                attachment.close()
            if self._is_ending:
                return
            on_lost()
            short_lived = short_lived + 1 if clock() - begun < _SHORT_LIVED else 0
            if short_lived:
                await asyncio.sleep(_pause(short_lived))

    async def end(self, timeout: float) -> None:
        """Once everything is sent: returns when the daemon has heard it, or refused it, or after so many seconds."""
        self._is_ending = True
        self._wake.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._detached.wait(), timeout)

    def beat(self) -> None:
        self.is_heartbeat_due = True
        self._wake.set()

    def send_inspection(self, inspection: pb.Inspection) -> None:
        self._inspections.append(inspection)
        self._wake.set()

    def send_rest(self) -> None:
        """Nothing executes, so nothing more comes into the batch."""
        if self._is_resting and self.outbox.has_unsent:
            self._rested()

    def _wake_for_batch(self) -> None:
        if self._may_send_batch:
            self._wake.set()

    @property
    def _may_send_batch(self) -> bool:
        return not self._is_resting or self.outbox.is_waited_for

    def _next_batch(self) -> pb.Batch | None:
        batch = self.outbox.next_batch() if self._may_send_batch else None
        if batch is not None and not self._is_resting:
            self._is_resting = True
            asyncio.get_running_loop().call_later(_BATCH_INTERVAL, self._rested)
        return batch

    def _rested(self) -> None:
        self._is_resting = False
        self._wake.set()

    async def _converse(self, attachment: Attachment, on_response: Callable[[pb.AttachResponse], None]) -> None:
        """Until the stream breaks. Raises Refused, and whatever `on_response` raises."""
        both = (
            asyncio.create_task(self._read(attachment, on_response)),
            asyncio.create_task(self._write(attachment)),
        )
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for task in both:
                task.cancel()
            endings = await asyncio.gather(*both, return_exceptions=True)
        for ending in endings:
            if isinstance(ending, LinkLost) and self._is_ending:
                continue
            if isinstance(ending, LinkLost):
                _LOG.info("the stream to the daemon broke: %s", ending)
            elif isinstance(ending, Exception):
                raise ending

    async def _read(self, attachment: Attachment, on_response: Callable[[pb.AttachResponse], None]) -> None:
        while True:
            on_response(await attachment.read())

    async def _write(self, attachment: Attachment) -> None:
        while True:
            self._wake.clear()
            while request := self._next_request():
                await attachment.write(request)
            self._on_quiet()
            if self._is_ending:
                await attachment.say_no_more()
                return
            await self._wake.wait()

    def _next_request(self) -> pb.AttachRequest | None:
        if self.is_heartbeat_due:
            self.is_heartbeat_due = False
            return pb.AttachRequest(heartbeat=self._heartbeat())
        if request := self.gathers.next_request():
            return pb.AttachRequest(gather=request)
        if self._inspections:
            return pb.AttachRequest(inspection=self._inspections.popleft())
        if batch := self._next_batch():
            return pb.AttachRequest(batch=batch)
        return None


def _pause(short_lived: int) -> float:
    """Seconds, after so many streams in a row that were short-lived."""
    longest = min(_LONGEST_PAUSE, 0.05 * 2.0 ** min(short_lived, 10))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 -- spreads runners; nothing secret hangs on it
