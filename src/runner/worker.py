"""One worker: a process of the pipeline's interpreter that executes tasks, and the frames exchanged with it."""

import asyncio
import logging
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from milepost.common.edges import edge
from milepost.common.processes import ProcessIdentity
from milepost.runner import frames
from milepost.runner.children import Child, Children
from milepost.runner.frames import Frame, FrameError, FromWorker, Tasks
from milepost.runner.ledger import Attempt

_LOG = logging.getLogger(__name__)

#: Seconds: for what a dead worker has written to be read; between asking it to end, SIGTERM and SIGKILL.
_DRAIN = 1.0
_GRACE = 5.0
_TERM_GRACE = 2.0
_LAST_GRACE = 10.0
#: Seconds between two looks; what passes beyond them passes for a runner that was stopped, too.
_LOOKS = 1.0


@dataclass(frozen=True)
class Launch:
    """How workers of this run are started."""

    python: str
    sdk_folder: str
    working_directory: str
    environment: Mapping[str, str]
    start: Frame


class Worker:
    """`run` lives as long as the process. `attempts` are those that were sent to it and have not ended."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.attempts: dict[int, Attempt] = {}
        self.is_ready = False
        #: Its end is the runner's doing, so what it was executing is handed back, not lost.
        self.is_killed = False
        #: Why the runner had to kill it, where that is the worker's own fault.
        self.offence = ""
        #: Seconds, of those in which the runner listened, that it has owed an answer: until it is ready, its import.
        self.silence = 0.0
        self._looked = time.monotonic()
        self._child: Child | None = None
        self._writer: asyncio.StreamWriter | None = None
        # Numbers of pings; 0 is the start, which is answered with `ready`.
        self._asked = self._due = 0
        self._answered = self._settling = -1
        #: Tasks were sent after the last ping.
        self._has_news = False

    @property
    def identity(self) -> ProcessIdentity | None:
        return self._child.identity if self._child else None

    async def run(self, children: Children, launch: Launch, on_frame: Callable[["Worker", FromWorker], None]) -> int:
        """Starts the process and hands on its frames; returns its exit code. Raises OSError when it cannot start."""
        ours, theirs = socket.socketpair()
        with theirs:
            descriptor = str(theirs.fileno())
            try:
                self._child = children.start(
                    [launch.python, launch.sdk_folder, "work", descriptor],
                    launch.working_directory,
                    launch.environment,
                    pass_fds=[theirs.fileno()],
                )
            except BaseException:
                ours.close()
                raise
        reader, self._writer = await asyncio.open_connection(sock=ours, limit=frames.MAX_FRAME)
        try:
            self.send(launch.start)
            return await self._live(self._child, reader, on_frame)
        finally:
            self._child.signal_group(signal.SIGKILL)
            self._writer.transport.abort()
            self._writer = None

    def send(self, frame: Frame) -> None:
        self._write(frames.encode(frame))

    def send_tasks(self, tasks: Tasks, payloads_json: Sequence[str]) -> None:
        """With a ping behind them, unless one is under way: so it is known early that they have begun."""
        self._write(frames.encode_tasks(tasks, payloads_json))
        self._has_news = True
        self._ask_unless_asked()

    def ready(self) -> None:
        self.is_ready = True
        self.pong(0)

    def look(self, now: float) -> None:
        """Each second, `now` by the monotonic clock: pings, or notes that the last ping is not answered yet."""
        passed, self._looked = now - self._looked, now
        if self._answered < self._due:
            self.silence += min(passed, _LOOKS)
        else:
            self._ask_unless_asked()
        self._due = self._asked

    def pong(self, number: int) -> None:
        """Raises FrameError."""
        if number > self._asked:
            raise FrameError(f"it answers ping {number}, which it was not asked")
        self._answered, self.silence = number, 0.0
        if self._has_news:
            self._ask_unless_asked()

    def settle(self) -> None:
        """Sees to it that an answer comes behind everything that was sent so far."""
        if self._has_news or self._answered < self._asked:
            self._ask()
        self._settling = self._asked

    def _ask_unless_asked(self) -> None:
        """One at a time: what blocks it must not fill its socket, too."""
        if self._answered == self._asked:
            self._ask()

    def _ask(self) -> None:
        self._asked += 1
        self._has_news = False
        self.send({"type": "ping", "n": self._asked})

    @property
    def is_settled(self) -> bool:
        """Whether what was sent before `settle` has begun: then nothing starts in it any more by itself."""
        return self._answered >= self._settling

    async def kill(self) -> None:
        """Ends it with everything below it."""
        self.is_killed = True
        if self._child is not None:
            await self._child.kill_family()

    async def end(self, ended: "asyncio.Task[None]") -> None:
        """Asks, then tells, then kills, until `ended` (its life) is done."""
        self.is_killed = True
        self.send({"type": "end"})
        for patience, number in ((_GRACE, signal.SIGTERM), (_TERM_GRACE, signal.SIGKILL)):
            await asyncio.wait({ended}, timeout=patience)
            if ended.done():
                return
            if self._child is not None:
                self._child.signal_group(number)
        await asyncio.wait({ended}, timeout=_LAST_GRACE)

    async def _live(
        self, child: Child, reader: asyncio.StreamReader, on_frame: Callable[["Worker", FromWorker], None]
    ) -> int:
        reading = asyncio.create_task(self._read(reader, on_frame))
        exiting = asyncio.create_task(child.wait(end_group=True))
        try:
            await asyncio.wait({reading, exiting}, return_when=asyncio.FIRST_COMPLETED)
            # What it wrote before it died counts; who holds its end of the socket open after it does not.
            await asyncio.wait({reading}, timeout=_DRAIN)
            if reading.done() and (error := reading.exception()) is not None:
                if not isinstance(error, FrameError):
                    raise error
                self._kill_for(child, f"did not keep to the protocol: {error}")
            done, _ = await asyncio.wait({exiting}, timeout=_GRACE)
            if not done:
                self._kill_for(child, "closed its socket and did not end")
            return await exiting
        finally:
            for task in (reading, exiting):
                task.cancel()

    @edge("worker.send")
    def _write(self, line: bytes) -> None:
        """What is sent to a worker that has died goes nowhere. The window of held tasks bounds what is under way."""
        if self._writer is not None:
            self._writer.write(line)

    def _kill_for(self, child: Child, offence: str) -> None:
        self.offence = offence
        _LOG.error("worker %d %s; it is killed", self.number, offence)
        child.signal_group(signal.SIGKILL)

    async def _read(self, reader: asyncio.StreamReader, on_frame: Callable[["Worker", FromWorker], None]) -> None:
        while True:
            try:
                line = await reader.readline()
            except ConnectionError:
                return
            except ValueError as error:
                raise FrameError(f"a frame is longer than {frames.MAX_FRAME:,} bytes") from error
            if not line.endswith(b"\n"):
                return  # the end, or a frame that its death cut off
            on_frame(self, frames.decode(line))
