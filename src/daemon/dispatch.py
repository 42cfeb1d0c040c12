"""Which runners are attached. Admits a runner by its token, and is where others ask about a running job.

Owns the sessions; each is fed and recorded by its own loops (`session`). Knows nothing of processes.
"""

import asyncio
import hashlib
import hmac
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from milepost.common.edges import edge
from milepost.common.wire import runner as wire
from milepost.core.definition import from_json
from milepost.core.errors import Code, MilepostError
from milepost.core.model import Event, Job, Reason, Run, TaskRef
from milepost.daemon.feed import Feed
from milepost.daemon.live import IDLE, Live
from milepost.daemon.session import Send, Session, desired_of
from milepost.daemon.store import events, jobs, runs, tasks
from milepost.daemon.store.group_commit import Transaction
from milepost.daemon.store.store import Store
from milepost.v1 import runner_service_pb2 as pb

HELLO_TIMEOUT = 10.0

logger = logging.getLogger(__name__)


def token_hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


@dataclass(frozen=True)
class Refused:
    """A runner that was refused though it is that of an open run, since when (Unix seconds), and why."""

    run: int
    time: float
    reason: Reason


class Dispatch:
    """`on_live(job_id)`: something that is not in the store has changed. `on_wake()`: reconcile should look."""

    def __init__(
        self,
        store: Store,
        folder: Path,
        sdk_folder: Path,
        lease: float,
        on_live: Callable[[str], None],
        on_wake: Callable[[], None],
    ) -> None:
        self._store = store
        self._folder = folder
        self._sdk_folder = sdk_folder
        self._lease = lease
        self._on_live = on_live
        self._on_wake = on_wake
        self._sessions: dict[str, Session] = {}
        self._loops: dict[str, asyncio.Task[None]] = {}
        self._drained: dict[str, int] = {}
        self._refused: dict[str, Refused] = {}
        #: Set, and replaced, whenever a runner comes or goes or a run is closed.
        self._moved = asyncio.Event()

    def live(self, job_id: str) -> Live:
        session = self._sessions.get(job_id)
        return session.live if session is not None else IDLE

    @property
    def attached(self) -> int:
        """How many runners there are."""
        return len(self._sessions)

    def is_attached(self, job_id: str, run: int) -> bool:
        session = self._sessions.get(job_id)
        return session is not None and session.run.number == run

    async def refresh(self, job_id: str) -> None:
        """Tells the runner what is wanted now, and hands out tasks that became pending behind its back."""
        session = self._sessions.get(job_id)
        if session is None:
            return
        self.show(await self._store.read(lambda db: jobs.get(db, job_id)))
        session.look_everywhere()

    def show(self, job: Job) -> None:
        """As `refresh`, for a job that was just read."""
        session = self._sessions.get(job.id)
        if session is not None:
            session.set_desired(job)

    def has_drained(self, job_id: str, run: int) -> bool:
        """Whether this run ends in order: its runner said that nothing executes and everything is reported."""
        return self._drained.get(job_id) == run

    def refused(self, job_id: str, run: int) -> "Refused | None":
        """If the runner of this run has been refused, and is to end."""
        refused = self._refused.get(job_id)
        return refused if refused is not None and refused.run == run else None

    async def wait_holding(self, job_id: str, revision: int, timeout: float) -> bool:
        """Whether, within `timeout` seconds, nothing of the job can start any more."""
        try:
            async with asyncio.timeout(timeout):
                moved = self._moved  # of before the look, which may be older than what moves meanwhile
                while not await self._holds(job_id, revision):
                    await moved.wait()
                    moved = self._moved
        except TimeoutError:
            return False
        return True

    async def _holds(self, job_id: str, revision: int) -> bool:
        """True when nothing starts any more; False when its runner went away or is not there yet."""
        session = self._sessions.get(job_id)
        if session is not None:
            return await session.wait_holding(revision)
        return await self._store.read(lambda db: jobs.get(db, job_id).stop is None)

    def _move(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()

    async def inspect(self, job_id: str) -> pb.Inspection | None:
        """None when no runner is attached, or it does not answer."""
        session = self._sessions.get(job_id)
        return await session.inspect() if session is not None else None

    async def attach(self, requests: AsyncIterator[pb.AttachRequest], send: Send) -> None:
        """Serves one stream until the runner closes it.

        Raises MilepostError: RUN_FENCED when the token is not that of an open run, PROTOCOL_MISMATCH when the runner
        and this daemon would misread each other.
        """
        hello = await _hello(requests)
        await self._store.read(lambda db: _admit(db, hello))
        if hello.protocol != wire.PROTOCOL:
            await self._refuse(hello)
        await self._replace(hello.job_id)
        admitted = await self._store.write(lambda tx: _identify(tx, hello))
        session = self._session(admitted, _one_at_a_time(send))
        task = asyncio.current_task()
        assert task is not None
        self._sessions[hello.job_id], self._loops[hello.job_id] = session, task
        self._move()
        try:
            self._on_wake()
            await _send_welcome(session.send, self._welcome(admitted, session.desired))
            await session.run_loops(requests)
        finally:
            self._leave(session)

    async def _refuse(self, hello: pb.Hello) -> NoReturn:
        now = time.time()
        what = (
            f"The runner of run {hello.run} speaks protocol {hello.protocol}, this daemon {wire.PROTOCOL}: "
            "they are of different versions of Milepost."
        )
        event = Event("RUNNER_REFUSED", now, "daemon", message=f"{what} It ends; what it held runs again.")
        await self._store.write(lambda tx: events.append(tx, hello.job_id, event))
        reason = Reason(
            Code.PROTOCOL_MISMATCH,
            f"{what} Milepost was changed while its daemon ran.",
            "Restart the daemon (milepost daemon restart), then resume the job.",
        )
        self._refused[hello.job_id] = Refused(hello.run, now, reason)
        self._on_wake()
        raise MilepostError(Code.PROTOCOL_MISMATCH, what, "The runner is to end: what it holds will run again.")

    def _session(self, admitted: "_Admitted", send: Send) -> Session:
        job = admitted.job
        definition = from_json(job.definition_json)
        return Session(
            job=job,
            run=admitted.run,
            definition=definition,
            store=self._store,
            send=send,
            on_live=self._on_live,
            on_retry=self._on_wake,
            feed=Feed(self._store, definition, admitted.current),
            desired=desired_of(job, definition),
        )

    async def _replace(self, job_id: str) -> None:
        """A runner that attaches again has lost its earlier stream, whatever that one says."""
        earlier = self._loops.get(job_id)
        if earlier is not None:
            earlier.cancel()
            await asyncio.wait([earlier])

    def _leave(self, session: Session) -> None:
        job_id = session.job.id
        if session.drained:
            self._drained[job_id] = session.run.number
        if self._sessions.get(job_id) is session:
            del self._sessions[job_id], self._loops[job_id]
        session.leave()
        self._move()
        self._on_live(job_id)
        self._on_wake()

    def forget(self, job_id: str) -> None:
        """The job's run is closed."""
        self._drained.pop(job_id, None)
        self._refused.pop(job_id, None)
        self._move()

    def _welcome(self, admitted: "_Admitted", desired: pb.Desired) -> pb.Welcome:
        job = admitted.job
        file = job.input
        return pb.Welcome(
            definition_json=job.definition_json,
            parameters_json=job.parameters_json,
            job_name=job.name,
            pipeline_source_json=job.source_json,
            python=job.python,
            working_directory=job.working_directory,
            folder=str(self._folder / "jobs" / job.id),
            input_file=file.file if file else "",
            input_name=file.name if file else "",
            input_is_inline_items=file.inline if file else False,
            sdk_folder=str(self._sdk_folder),
            environment=job.environment,
            lease_seconds=self._lease,
            desired=desired,
            void=[wire.ref_to_proto(ref) for ref in admitted.void],
            protocol=wire.PROTOCOL,
        )


@edge("dispatch.send_welcome")
async def _send_welcome(send: Send, welcome: pb.Welcome) -> None:
    await send(pb.AttachResponse(welcome=welcome))


def _one_at_a_time(send: Send) -> Send:
    """The loops of a session write to one stream, and gRPC takes one message at a time."""
    lock = asyncio.Lock()

    async def locked(message: pb.AttachResponse) -> None:
        async with lock:
            await send(message)

    return locked


async def _hello(requests: AsyncIterator[pb.AttachRequest]) -> pb.Hello:
    try:
        first = await asyncio.wait_for(anext(requests), HELLO_TIMEOUT)
    except (TimeoutError, StopAsyncIteration) as error:
        raise MilepostError(Code.INVALID_ARGUMENT, "A runner attached and said no hello.") from error
    if first.WhichOneof("message") != "hello":
        raise MilepostError(Code.INVALID_ARGUMENT, "The first message of a runner must be its hello.")
    return first.hello


@dataclass(frozen=True)
class _Admitted:
    """The run whose runner said hello; which of the tasks it holds still count, and which are void."""

    job: Job
    run: Run
    current: frozenset[TaskRef]
    void: tuple[TaskRef, ...]


def _admit(db: sqlite3.Connection, hello: pb.Hello) -> Run:
    """Raises MilepostError(RUN_FENCED) unless this is the runner of an open run."""
    run = runs.get(db, hello.job_id, hello.run)
    if run is None or run.end is not None or not hmac.compare_digest(run.token_hash, token_hash(hello.token)):
        raise MilepostError(
            Code.RUN_FENCED,
            f"Run {hello.run} of {hello.job_id} has ended or this is not its runner.",
            "The runner is to end: what it holds will run again.",
        )
    return run


def _identify(tx: Transaction, hello: pb.Hello) -> _Admitted:
    """Notes which process the runner is. As a write, it comes after everything that an earlier stream has reported."""
    run = _admit(tx.connection, hello)
    now = time.time()
    runs.identify(tx, hello.job_id, run.number, hello.pid, hello.process_start_ticks, hello.boot_id, now)
    kind = "RUNNER_ATTACHED" if run.hello_time is None else "RUNNER_REATTACHED"
    events.append(tx, hello.job_id, Event(kind, now, "daemon", message=f"run {run.number}, process {hello.pid}"))
    refs = [wire.ref_from_proto(ref) for ref in hello.held]
    current = frozenset(tasks.still_current(tx.connection, hello.job_id, refs))
    # An item goes on in its runner, so the runner may hold it at steps that the store has not heard of yet.
    standing = {(ref.item, ref.epoch) for ref in current}
    void = tuple(ref for ref in refs if (ref.item, ref.epoch) not in standing)
    return _Admitted(jobs.get(tx.connection, hello.job_id), run, current, void)
