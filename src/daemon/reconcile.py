"""Compares what should be with what is, and acts until they agree: start, adopt, end and reap runners.

One loop for boot, recovery and every day: periodic, woken when something changed, and re-entrant. It reads the rows
(intent) and the processes (evidence) each time anew and remembers nothing that a restart would miss.

What takes long (ending a tree, checking an input, rewriting records) is done beside the loop, one piece of work a job
at a time.
"""

import asyncio
import logging
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from milepost.common.edges import edge
from milepost.core import lifecycle, queueing
from milepost.core.definition import from_json
from milepost.core.errors import MilepostError
from milepost.core.model import Command, Event, Job, JobState, Reason, Run, RunEnd
from milepost.core.queueing import Limits, Queued
from milepost.daemon import runners
from milepost.daemon.circumstances import PAUSE_FILE, pause_file
from milepost.daemon.commands import Asked, Commands
from milepost.daemon.dispatch import Dispatch, token_hash
from milepost.daemon.inputs import verify_input
from milepost.daemon.records import take_in_spool
from milepost.daemon.runners import Runners
from milepost.daemon.store import events, jobs, operations, queue, runs, tasks
from milepost.daemon.store.group_commit import Transaction
from milepost.daemon.store.store import Store
from milepost.daemon.vigil import Vigil

#: Longest time between two looks: a sentinel file is seen within 2 s (J14).
INTERVAL = 1.0
#: A forced stop gives the runner this long to end its tree and deliver what it has, a refusal to end its tree; then the
#: daemon kills it.
FORCE_GRACE = 1.0
#: A runner that has not said hello after this time will not any more.
HELLO_GRACE = 60.0

#: Seconds until the same trouble is logged again.
TELL_INTERVAL = 60.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rules:
    """Settings that reconcile goes by."""

    limits: Limits
    auto_resume_limit: int


class Reconcile:
    def __init__(
        self,
        store: Store,
        folder: Path,
        dispatch: Dispatch,
        commands: Commands,
        processes: Runners,
        vigil: Vigil,
        rules: Rules,
    ) -> None:
        self._store = store
        self._folder = folder
        self._dispatch = dispatch
        self._commands = commands
        self._runners = processes
        self._vigil = vigil
        self._rules = rules
        self._wake = asyncio.Event()
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._stopping = False
        self._told = ("", 0.0)
        self._starting = True
        self._paused_by: str | None = None

    def wake(self) -> None:
        self._wake.set()

    def hold_queue(self, hold: bool) -> None:
        """While the daemon is about to end, queued jobs stay queued."""
        self._starting = not hold
        self._wake.set()

    def stop(self) -> None:
        """Ends the loop after the work that is under way; runners go on."""
        self._stopping = True
        self._wake.set()

    async def close_ended_runs(self) -> None:
        """Before anything is said about a job: what a runner left when it ended without a daemon is taken in."""
        for run in await self._store.read(runs.open_runs):
            if runners.identity_of(run) is not None and not runners.is_alive(run):
                await self._reap(run)

    async def run(self) -> None:
        """Until `stop`. What fails is logged and tried again at the next look: nothing is remembered in between."""
        async with asyncio.TaskGroup() as group:
            while not self._stopping:
                self._wake.clear()
                pause = INTERVAL
                try:
                    pause = await self._look(group)
                except MilepostError as error:
                    self._tell_once(error)
                except Exception:
                    logger.exception("cannot look after the jobs; trying again")
                try:
                    await asyncio.wait_for(self._wake.wait(), pause)
                except TimeoutError:
                    continue
            for work in self._busy.values():
                work.cancel()

    async def _look(self, group: asyncio.TaskGroup) -> float:
        """Returns the seconds until there is something to do, if nothing happens before."""
        self._vigil.look_at_clocks()
        await self._release_retries()
        now = time.time()
        open_runs = {run.job_id: run for run in await self._store.read(runs.open_runs)}
        for job in await self._store.read(lambda db: jobs.unsettled(db, now)):
            await self._heed_pause_file(job)
            run = open_runs.get(job.id)
            if job.operation == "RETRY" or (job.operation and run is None):
                self._do(group, job.id, self._rewrite(job))
            elif run is not None:
                self._do(group, job.id, self._tend(job, run))
            elif job.state is JobState.SCHEDULED:
                await self._start_time_reached(job.id)
        for job_id in await self._startable():
            self._do(group, job_id, self._start(job_id))
        due = await self._store.read(tasks.next_due)
        return INTERVAL if due is None else min(INTERVAL, max(0.0, due - time.time()))

    def _do(self, group: asyncio.TaskGroup, job_id: str, work: Coroutine[None, None, None]) -> None:
        """One piece of work a job at a time; what is still to be done is seen at the next look."""
        if job_id in self._busy:
            work.close()
            return
        task = group.create_task(self._supervised(job_id, work))
        self._busy[job_id] = task
        task.add_done_callback(lambda _: self._busy.pop(job_id, None))

    async def _supervised(self, job_id: str, work: Coroutine[None, None, None]) -> None:
        """One job's trouble is no other's, and no reason to end: what is still to be done is tried again."""
        try:
            await work
        except MilepostError as error:
            self._tell_once(error)
        except Exception:
            logger.exception("cannot look after %s; trying again", job_id)

    def _tell_once(self, error: MilepostError) -> None:
        """A full disk is full for a while: the log need not have it at each look."""
        told, when = self._told
        if str(error) != told or time.monotonic() - when > TELL_INTERVAL:
            self._told = (str(error), time.monotonic())
            logger.error("cannot look after the jobs; trying again: %s", error)

    # --- time and files ---

    async def _release_retries(self) -> None:
        now = time.time()
        due = await self._store.read(tasks.next_due)
        if due is not None and due <= now:
            for job_id in await self._store.write(lambda tx: tasks.release_due(tx, now)):
                await self._dispatch.refresh(job_id)

    async def _heed_pause_file(self, job: Job) -> None:
        if job.state is JobState.RUNNING and job.stop is None:
            await self._paused_by_file(job.id)

    async def _paused_by_file(self, job_id: str) -> bool:
        """Pauses the job if a sentinel file says so."""
        own, everywhere = self._folder / "jobs" / job_id / PAUSE_FILE, self._folder / PAUSE_FILE
        file = next((file for file in (own, everywhere) if file.exists()), None)
        if file is None:
            return False
        try:
            asked = Asked(Command.PAUSE, "", "", "daemon", "", reason=f"the file {file} is there")
            await self._commands.control(job_id, asked)
        except MilepostError as error:
            logger.info("%s is not paused by %s: %s", job_id, file, error)
        return True

    # --- a run ---

    async def _tend(self, job: Job, run: Run) -> None:
        """A run is open: does its runner live, and should it?"""
        identity = runners.identity_of(run)
        if not runners.is_alive(run):
            if identity is None and await self._may_still_come(run):
                return
            await self._reap(run)
            return
        assert identity is not None
        self._runners.watch(identity)
        self._dispatch.show(job)
        if self._is_to_be_killed(job, run):
            await self._reap(run)
        elif run.hello_time is None and self._vigil.silence(job.id) > HELLO_GRACE:
            logger.warning("run %d of %s never said hello", run.number, job.id)
            await self._reap(run, f"did not say hello within {HELLO_GRACE:.0f} s")
        else:
            await self._vigil.look(job, run)

    async def _may_still_come(self, run: Run) -> bool:
        """The daemon ended between starting this runner and noting its process: it may be about to say hello."""
        return self._vigil.silence(run.job_id) <= HELLO_GRACE and await asyncio.to_thread(runners.has_processes, run)

    def _is_to_be_killed(self, job: Job, run: Run) -> bool:
        refused = self._dispatch.refused(job.id, run.number)
        is_forced = job.stop is not None and job.stop.force and self._force_is_due(job, run)
        return is_forced or (refused is not None and self._grace_is_over(refused.time))

    def _force_is_due(self, job: Job, run: Run) -> bool:
        """An attached runner gets a moment to end its tree itself, so that what it finished is delivered."""
        assert job.stop is not None
        if not self._dispatch.is_attached(job.id, run.number):
            return True
        return self._grace_is_over(job.stop.time)

    def _grace_is_over(self, since: float) -> bool:
        left = since + FORCE_GRACE - time.time()
        if left > 0:
            asyncio.get_running_loop().call_later(left, self.wake)
            return False
        return True

    @edge("reconcile.reap")
    async def _reap(self, run: Run, why: str = "") -> None:
        """Ends what is left of the run's tree, takes in what it left behind, closes it, and settles the job.

        `why`: what its runner did, where it is ended for that.
        """
        if not await runners.end_tree(run):
            return
        folder = self._folder / "jobs" / run.job_id
        spool = await asyncio.to_thread(runners.spool, folder, run)
        mistake = self._not_welcome(run) or await asyncio.to_thread(runners.mistake, folder, run)
        end, how = self._end_of(run), self._runners.how_ended(runners.identity_of(run))

        def settle(tx: Transaction) -> Job:
            now = time.time()
            current = runs.get(tx.connection, run.job_id, run.number)
            before = jobs.get(tx.connection, run.job_id)
            if current is None or current.end is not None:
                return before
            definition = from_json(before.definition_json)
            refused = take_in_spool(tx, run.job_id, run.number, definition, spool.batches)
            before = jobs.get(tx.connection, run.job_id)
            settled = lifecycle.settle(before, definition, end, mistake, now, self._rules.auto_resume_limit, why or how)
            asked_to_end = before.stop is not None or settled.state is JobState.COMPLETED
            runs.close(tx, run.job_id, run.number, RunEnd.FINISHED if asked_to_end else end, now)
            jobs.save(tx, replace(settled, activity_time=now))
            ended = _run_ended(run, before, settled, refused or spool.damage, now)
            for event in (*self._vigil.last_events(run.job_id, now), ended):
                events.append(tx, run.job_id, event)
            return settled

        settled = await self._store.write(settle)
        self._dispatch.forget(run.job_id)
        self._vigil.forget(run.job_id)
        logger.info("run %d of %s has ended: %s", run.number, run.job_id, settled.state)
        self.wake()

    def _end_of(self, run: Run) -> RunEnd:
        if self._dispatch.has_drained(run.job_id, run.number):
            return RunEnd.FINISHED
        if self._dispatch.refused(run.job_id, run.number) is not None:
            return RunEnd.FINISHED  # told to end, by us: nothing that its job has to answer for
        return RunEnd.START_FAILED if run.hello_time is None else RunEnd.LOST

    def _not_welcome(self, run: Run) -> Reason | None:
        """Why the next runner would be refused, too: this one was, and no daemon before has welcomed it."""
        refused = self._dispatch.refused(run.job_id, run.number)
        return refused.reason if refused is not None and run.hello_time is None else None

    # --- before a run ---

    @edge("reconcile.rewrite")
    async def _rewrite(self, job: Job) -> None:
        definition = from_json(job.definition_json)
        while not await self._store.write(lambda tx: operations.advance(tx, job.id, definition, time.time())):
            continue
        await self._dispatch.refresh(job.id)
        self.wake()

    async def _startable(self) -> list[str]:
        queued, active = await self._store.read(lambda db: (queue.queued(db), queue.active_queues(db)))
        self._tell_what_holds(queued)
        if not self._starting or self._paused_by is not None:
            return []
        now = [replace(job, starting=job.job_id in self._busy and not job.held) for job in queued]
        return queueing.next_to_start(now, active, self._rules.limits)

    def _tell_what_holds(self, queued: Sequence[Queued]) -> None:
        """Queued jobs say what pauses all of them; their rows do not change with it."""
        before, self._paused_by = self._paused_by, pause_file(self._folder)
        if before != self._paused_by:
            for job in queued:
                self._vigil.tell(job.job_id)

    async def _start_time_reached(self, job_id: str) -> None:
        await self._store.write(lambda tx: _start_time_reached(tx, job_id))
        self.wake()

    async def _start(self, job_id: str) -> None:
        """The job has a slot: its run is recorded, then its runner started. A crash in between is reaped as lost."""
        if await self._paused_by_file(job_id):
            return
        job = await self._store.read(lambda db: jobs.get(db, job_id))
        lost = await asyncio.to_thread(verify_input, self._folder / "jobs" / job_id, job.input) if job.input else None
        if lost is not None:
            await self._store.write(lambda tx: _wait(tx, job_id, lost))
            return
        if not self._starting:
            return
        token, mark = runners.new_token(), runners.new_mark()
        run = await self._store.write(
            lambda tx: _record_start(tx, job_id, mark, token_hash(token), self._runners.cgroup(mark))
        )
        if run is None:
            return
        try:
            identity = self._runners.start(run, token)
        except OSError as error:
            logger.exception("the runner of %s cannot be started", job_id)
            reason = Reason(
                "RUNNER_NOT_STARTED", f"Its runner cannot be started: {error}.", "Mend that, then resume it."
            )
            await self._store.write(lambda tx: _not_started(tx, job_id, run, reason))
            return
        process = (identity.pid, identity.start_ticks, identity.boot_id)
        await self._store.write(lambda tx: runs.identify(tx, job_id, run.number, *process))


def _start_time_reached(tx: Transaction, job_id: str) -> None:
    job = jobs.get(tx.connection, job_id)
    if job.state is JobState.SCHEDULED:
        now = time.time()
        jobs.save(tx, lifecycle.start_time_reached(job, now))
        events.append(tx, job_id, Event("QUEUED", now, "daemon", from_state=job.state, to_state=JobState.QUEUED))


def _wait(tx: Transaction, job_id: str, reason: Reason) -> None:
    job = jobs.get(tx.connection, job_id)
    if job.state is JobState.QUEUED:
        now = time.time()
        jobs.save(tx, replace(lifecycle.waiting(job, reason), activity_time=now))
        waiting = Event(
            reason.code, now, "daemon", message=reason.message, from_state=job.state, to_state=JobState.WAITING
        )
        events.append(tx, job_id, waiting)


def _record_start(tx: Transaction, job_id: str, mark: str, hashed: str, cgroup: str | None = None) -> Run | None:
    """None when the job is no longer to start: someone paused or cancelled it meanwhile."""
    job = jobs.get(tx.connection, job_id)
    if job.state is not JobState.QUEUED or job.operation:
        return None
    now = time.time()
    begun = replace(lifecycle.started(job, now), activity_time=now)
    run = Run(job_id, begun.run_count, mark, hashed, now, cgroup)
    jobs.save(tx, begun)
    runs.insert(tx, run)
    text = f"run {run.number}"
    event = Event("RUN_STARTED", now, "daemon", message=text, from_state=job.state, to_state=JobState.RUNNING)
    events.append(tx, job_id, event)
    return run


def _not_started(tx: Transaction, job_id: str, run: Run, reason: Reason) -> None:
    now = time.time()
    job = jobs.get(tx.connection, job_id)
    runs.close(tx, job_id, run.number, RunEnd.START_FAILED, now)
    settled = lifecycle.settle(job, from_json(job.definition_json), RunEnd.START_FAILED, reason, now)
    jobs.save(tx, replace(settled, activity_time=now))
    event = Event("RUN_ENDED", now, "daemon", message=reason.message, from_state=job.state, to_state=settled.state)
    events.append(tx, job_id, event)


def _run_ended(run: Run, before: Job, settled: Job, damage: str, now: float) -> Event:
    text = f"run {run.number}"
    if settled.reason is not None:
        text += f": {settled.reason.message}"
    if damage:
        text += f" Its spool could not be read in full ({damage}); what is missing runs again."
    return Event("RUN_ENDED", now, "daemon", message=text, from_state=before.state, to_state=settled.state)
