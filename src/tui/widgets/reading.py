"""When the open tab of a detail is read: at once, whenever it wants more, and again when its job has changed."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from textual.widget import Widget
from textual.worker import Worker

from milepost.common.text import safe
from milepost.core.errors import Code, MilepostError
from milepost.tui.rows import JobRow
from milepost.tui.status import Status
from milepost.tui.widgets.items import Items
from milepost.tui.widgets.logs import Logs
from milepost.tui.widgets.metrics import Metrics, rest_after
from milepost.tui.widgets.steps import Steps
from milepost.tui.widgets.timeline import Timeline

if TYPE_CHECKING:
    from milepost.common.client import Client

#: Seconds between two readings because the job has changed.
READ_AGAIN = 1.0
#: Seconds until what could not be read is tried again.
TRY_AGAIN = 3.0
#: Statuses of jobs that print, or are about to.
_PRINTING = frozenset({Status.QUEUED, Status.RUNNING, Status.STUCK, Status.PAUSING, Status.CANCELLING})

Pane = Items | Steps | Logs | Metrics | Timeline


class Reading:
    """Of one pane at a time, by a worker of `detail`. `tell_error` is told why it could not be, and "" when it was."""

    def __init__(
        self, detail: Widget, client_of: "Callable[[], Client | None]", tell_error: Callable[[str], None]
    ) -> None:
        self._detail = detail
        self._client_of = client_of
        self._tell_error = tell_error
        self._row: JobRow | None = None
        self._pane: Pane | None = None
        self._wake = asyncio.Event()
        self._worker: Worker[None] | None = None
        self._later: Worker[None] | None = None
        #: In seconds of the loop's clock; and how long it rests from then on at least.
        self._begun_at = 0.0
        self._rest = READ_AGAIN
        self._is_stale = False

    def start(self, pane: Pane, row: JobRow) -> None:
        """As long as this tab is open; the reading of the one before is cancelled."""
        self._pane, self._row = pane, row
        self._tell_error("")
        self._wake.clear()
        if not isinstance(pane, Logs):
            self._outdate(pane)
        # Not a coroutine: a worker that is cancelled before it starts would leave that unawaited.
        self._worker = self._detail.run_worker(partial(self._read, pane, row.job.id), group="detail", exclusive=True)

    def start_anew(self, pane: Pane, row: JobRow) -> None:
        """All of it, though the job has not changed."""
        self._outdate(pane)
        self.start(pane, row)

    def stop(self) -> None:
        self._pane = self._row = None
        if self._worker is not None:
            self._worker.cancel()
        if self._later is not None:
            self._later.cancel()
            self._later = None

    def want_more(self) -> None:
        self._wake.set()

    def job_changed(self, row: JobRow) -> None:
        """What is open is read again, once a second at most."""
        self._row = row
        self._is_stale = True
        if self._later is None:
            self._later = self._detail.run_worker(self._read_stale, group="detail later")

    async def _read_stale(self) -> None:
        await asyncio.sleep(self._begun_at + self._rest - asyncio.get_running_loop().time())
        self._later = None
        if not self._is_stale or self._pane is None:
            return
        self._outdate(self._pane)
        if isinstance(self._pane, Logs):
            self._follow_again(self._pane)
        else:
            self._wake.set()

    def _follow_again(self, logs: Logs) -> None:
        """A job that had ended and goes on prints again."""
        if not logs.is_live and self._row is not None and self._row.status in _PRINTING:
            self.start(logs, self._row)

    def _outdate(self, pane: Pane) -> None:
        self._is_stale = False
        self._begun_at = asyncio.get_running_loop().time()
        match pane:
            case Items() | Metrics() | Timeline():
                pane.outdate()

    async def _read(self, pane: Pane, job_id: str) -> None:
        """Reads what the pane wants, then waits until it wants more."""
        while True:
            self._wake.clear()
            try:
                await self._read_for(pane, job_id)
            except MilepostError as error:
                await self._wait_after(error, pane)
            else:
                self._tell_error("")
                await self._wake.wait()

    async def _read_for(self, pane: Pane, job_id: str) -> None:
        from milepost.tui import readers  # grpc and protobuf: not before a detail is open

        client = self._client_of()
        if client is None:
            raise MilepostError(Code.DAEMON_UNREACHABLE, "There is no connection.")
        clock = asyncio.get_running_loop().time
        begun = clock()
        await readers.read(client, job_id, pane)
        self._rest = max(READ_AGAIN, rest_after(clock() - begun) if isinstance(pane, Metrics) else 0.0)

    async def _wait_after(self, error: MilepostError, pane: Pane) -> None:
        """It is tried again by itself: the daemon may have been away."""
        away = error.code is Code.DAEMON_UNREACHABLE
        why = "no daemon answers (ctrl+r starts it)." if away else f"{safe(str(error))} ctrl+r tries again."
        words = f"This could not be read: {why}"
        if not isinstance(pane, Steps):  # they are in the job's own document
            pane.failed_to_read(words)
            self._tell_error(words)
        with suppress(TimeoutError):
            async with asyncio.timeout(TRY_AGAIN):
                await self._wake.wait()
        self._outdate(pane)
