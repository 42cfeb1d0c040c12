"""One run: follows what is desired, holds what is handed out, and decides when the run is over.

What is desired is a level. The daemon's word and the runner's own (a signal, a lease that ran out, a pipeline that
cannot be run) are combined: the stricter one holds. Pages that come while the run is held are kept, not started: a
hold can be revoked until the run is drained.
"""

import asyncio
import logging
import os
from collections.abc import Iterable
from enum import IntEnum

from milepost.common.processes import identify
from milepost.common.spool import spool_path, write_spool
from milepost.common.wire.runner import reported
from milepost.core.errors import MilepostError
from milepost.runner.attempts import Attempts
from milepost.runner.children import Children
from milepost.runner.frames import Result
from milepost.runner.inspection import inspect
from milepost.runner.job import Job, RunIdentity
from milepost.runner.ledger import Ledger, Ref, now_us
from milepost.runner.link import Link, OtherProtocol, Refused
from milepost.runner.mistake import Mistake
from milepost.runner.pages import held_tasks
from milepost.runner.stream import Stream
from milepost.v1 import runner_service_pb2 as pb

_LOG = logging.getLogger(__name__)

_HEARTBEAT = 1.0
#: Seconds: until a run that the daemon never answered gives up; for the last acknowledgements after a stop.
_FIRST_LEASE = 60.0
_FLUSH = 5.0
#: Seconds that a run which is over waits until the daemon has heard what it said last.
_FAREWELL = 2.0
_RESTART = "Restart the daemon (milepost daemon restart), then resume the job."
#: Seconds until a spool that could not be written is tried again.
_SPOOL_PAUSE = 2.0


class ExitCode(IntEnum):
    DONE = 0
    MISTAKE = 3
    REFUSED = 4
    UNANSWERED = 5


class Level(IntEnum):
    """How far the run may go on."""

    RUN = pb.DESIRED_STATE_RUN
    HOLD = pb.DESIRED_STATE_HOLD
    STOP = pb.DESIRED_STATE_STOP


class Run:
    """Everything happens on one event loop; `advance` is called after each event and takes what follows from it."""

    def __init__(self, identity: RunIdentity, link: Link, users_umask: int) -> None:
        self._identity = identity
        self._stream = Stream(link, self._heartbeat, self.advance)
        self._ledger = Ledger()
        self._children = Children(identity.mark, users_umask)
        self._attempts: Attempts | None = None  # until the first welcome
        self._step_names: list[str] = []
        self._desired = pb.Desired(state=pb.DESIRED_STATE_RUN)
        self._own_level, self._own_reason = Level.RUN, ""
        self._level_in_force = Level.RUN
        self._is_holding = self._is_drained = False
        self._lease = _FIRST_LEASE
        self._lease_timer: asyncio.TimerHandle | None = None
        self._may_leave_undelivered = False
        self._exit_code = ExitCode.DONE
        self._over: asyncio.Future[None]
        self._group: asyncio.TaskGroup

    async def run(self) -> ExitCode:
        """Returns when the run is over and its workers have ended. Raises what failed in the background."""
        self._over = asyncio.get_running_loop().create_future()
        async with asyncio.TaskGroup() as self._group:
            background = [self._group.create_task(self._attend()), self._group.create_task(self._beat())]
            await self._over
            if self._attempts is not None:
                await self._attempts.workers.close()
            await self._stream.end(_FAREWELL)
            for task in background:
                task.cancel()
        return self._exit_code

    def terminate(self) -> None:
        """SIGTERM: as a hold; the second time as a stop."""
        level = Level.HOLD if self._own_level is Level.RUN else Level.STOP
        self._limit(level, "The runner was told to end (SIGTERM).")

    def advance(self) -> None:
        level = max(Level(self._desired.state or Level.RUN), self._own_level)
        if self._is_drained:
            level = max(level, Level.HOLD)
        if self._attempts is not None:
            if level is not self._level_in_force:
                self._enforce(level, self._attempts)
            if level is Level.RUN:
                self._attempts.start_waiting()
        self._settle(level)

    # What ends a run.

    def _enforce(self, level: Level, attempts: Attempts) -> None:
        self._level_in_force = level
        reason = "" if level is Level.RUN else self._own_reason or self._desired.reason or "The job is being stopped."
        attempts.workers.tell_stopping(reason)
        if level is Level.HOLD:
            attempts.workers.settle()
        if level is Level.STOP:
            self._group.create_task(self._stop(attempts))

    async def _stop(self, attempts: Attempts) -> None:
        await attempts.stop()
        asyncio.get_running_loop().call_later(_FLUSH, self._leave_undelivered)

    def _settle(self, level: Level) -> None:
        """Says when nothing can start any more, and when nothing executes; ends the run when all is delivered."""
        is_idle = not self._ledger.attempts
        if is_idle:
            self._stream.send_rest()
        holding = self._nothing_starts(level)
        drained = self._is_drained or (holding and is_idle and not self._stream.outbox.has_unsent)
        if (holding, drained) != (self._is_holding, self._is_drained):
            self._is_holding, self._is_drained = holding, drained
            self._stream.beat()
        if drained and self._attempts is not None:
            self._attempts.release_waiting()
        if self._over.done() or not (holding and is_idle):
            return
        is_told = not self._stream.is_attached or not self._stream.is_heartbeat_due
        is_done = self._exit_code is ExitCode.REFUSED or (drained and is_told and self._stream.outbox.is_empty)
        if is_done or (self._may_leave_undelivered and self._spool()):
            self._over.set_result(None)

    def _nothing_starts(self, level: Level) -> bool:
        if level is Level.RUN:
            return self._desired.finished and not self._ledger.held
        return level is Level.STOP or self._attempts is None or self._attempts.workers.is_settled

    def _limit(self, level: Level, reason: str) -> None:
        if level > self._own_level:
            _LOG.info("%s: %s", level.name.lower(), reason)
            self._own_level, self._own_reason = level, reason
        self.advance()

    def _stop_for_mistake(self, mistake: Mistake) -> None:
        if self._exit_code is ExitCode.MISTAKE:
            return
        self._exit_code = ExitCode.MISTAKE
        _LOG.error("the pipeline cannot be run: %s %s", mistake.message, mistake.remedy)
        now = now_us()
        for task in self._ledger.waiting():
            returned = Result(0, pb.REPORT_KIND_RETURNED, start_us=now, end_us=now)
            self._stream.outbox.report(task.ref, returned)
        self._ledger.release_waiting()
        self._limit(Level.STOP, "The pipeline cannot be run.")
        self._write_down(mistake)

    def _write_down(self, mistake: Mistake) -> None:
        try:
            mistake.write(self._identity.log_folder / f"run-{self._identity.number}.mistake.json")
        except OSError:
            _LOG.exception("the mistake could not be written down for the daemon")

    def _leave_undelivered(self) -> None:
        self._may_leave_undelivered = True
        self.advance()

    def _spool(self) -> bool:
        """False when the disk does not take it: the run goes on waiting, for the disk and for the daemon."""
        path = spool_path(self._identity.folder, self._identity.number)
        batches = list(self._stream.outbox.batches())
        try:
            write_spool(path, self._identity.job_id, self._identity.number, batches)
        except OSError as error:
            _LOG.error("what the daemon has not confirmed cannot be spooled: %s; trying again", error)
            self._may_leave_undelivered = False
            asyncio.get_running_loop().call_later(_SPOOL_PAUSE, self._spool_again)
            return False
        _LOG.warning("left in the spool: %d batches that the daemon has not confirmed", len(batches))
        return True

    def _spool_again(self) -> None:
        if not self._stream.is_attached:
            self._leave_undelivered()

    # The stream.

    async def _attend(self) -> None:
        self._start_lease()
        try:
            await self._stream.stay_attached(self._hello, self._welcomed, self._received, self._start_lease)
        except Refused as refused:
            self._exit_code = ExitCode.REFUSED
            if isinstance(refused, OtherProtocol) and self._attempts is None:
                # The next runner would fare no better, and a daemon that knows no number sees only this.
                self._write_down(Mistake(f"Milepost was changed while its daemon ran: {refused}.", _RESTART))
            self._limit(Level.STOP, f"The daemon refused this run ({refused}).")

    async def _beat(self) -> None:
        while True:
            self._children.reap_orphans()
            if self._attempts is not None:
                self._attempts.workers.look()
            self._stream.beat()
            await asyncio.sleep(_HEARTBEAT)

    def _start_lease(self) -> None:
        self._lease_timer = asyncio.get_running_loop().call_later(self._lease, self._lease_ran_out)

    def _lease_ran_out(self) -> None:
        if self._attempts is None:
            self._exit_code = ExitCode.UNANSWERED
        self._may_leave_undelivered = True
        self._limit(Level.HOLD, f"The daemon has been away for {self._lease:g} s.")

    def _hello(self) -> pb.Hello:
        own = identify(os.getpid())
        assert own is not None
        outbox = self._stream.outbox
        unconfirmed = (task for batch in outbox.batches() for task in reported(batch))
        return pb.Hello(
            job_id=self._identity.job_id,
            run=self._identity.number,
            token=self._identity.token,
            pid=own.pid,
            process_start_ticks=own.start_ticks,
            boot_id=own.boot_id,
            held=[*unconfirmed, *(ref.message() for ref in self._ledger.held)],
        )

    def _heartbeat(self) -> pb.Heartbeat:
        return pb.Heartbeat(
            in_flight_by_step={step: count for step, count in self._ledger.running.items() if count},
            in_flight=self._ledger.longest_running(),
            desired_revision=self._desired.revision,
            holding=self._is_holding,
            drained=self._is_drained,
            silent_workers=self._attempts.workers.silent() if self._attempts else (),
        )

    # What the daemon says.

    def _welcomed(self, welcome: pb.Welcome) -> None:
        if self._lease_timer is not None:
            self._lease_timer.cancel()
        self._lease = welcome.lease_seconds or self._lease
        self._may_leave_undelivered = False
        self._desire(welcome.desired)
        if self._attempts is None:
            self._set_up(welcome)
        self._void(welcome.void)
        self._stream.beat()
        self.advance()

    def _set_up(self, welcome: pb.Welcome) -> None:
        try:
            job = Job.from_welcome(self._identity, welcome)
        except MilepostError as error:
            self._stop_for_mistake(Mistake(error.message, error.remedy))
            return
        self._step_names = [step.name for step in job.definition.steps]
        self._attempts = Attempts(
            job,
            self._ledger,
            self._stream.outbox,
            self._stream.gathers,
            self._children,
            self._group,
            self.advance,
            self._stop_for_mistake,
        )
        if max(self._desired.state, self._own_level) == Level.RUN:
            self._attempts.workers.prepare()

    def _received(self, response: pb.AttachResponse) -> None:
        match response.WhichOneof("message"):
            case "page":
                self._take(response.page)
            case "ack":
                self._stream.outbox.acknowledge(response.ack.sequence)
                self._void(response.ack.void)
            case "desired":
                self._desire(response.desired)
            case "gather":
                self._stream.gathers.answer(response.gather, self._step_names)
            case "inspect":
                self._group.create_task(self._inspect(response.inspect.request))
            case other:
                _LOG.warning("the daemon sent what this runner does not know: %s", other)
        self.advance()

    def _take(self, page: pb.Page) -> None:
        if self._attempts is None or self._is_drained or self._own_level is Level.STOP:
            return  # they are still pending in the store
        done = self._stream.outbox.done
        # Of what it had not heard the end of, a new daemon hands out some again.
        self._attempts.hold([task for task in held_tasks(page, self._step_names) if task.ref not in done])

    def _void(self, refs: Iterable[pb.TaskRef]) -> None:
        if self._attempts is not None:
            self._attempts.void(Ref(ref.step, ref.item, ref.epoch) for ref in refs)

    def _desire(self, desired: pb.Desired) -> None:
        if desired.revision >= self._desired.revision:
            self._desired = desired
            self._stream.beat()

    async def _inspect(self, request: int) -> None:
        workers = self._attempts.workers.inspectable() if self._attempts else []
        self._stream.send_inspection(pb.Inspection(request=request, processes=await inspect(workers)))
