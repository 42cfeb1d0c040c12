"""Which runners are attached. Admits a runner by its token, and is where others ask about a running job.

Owns the sessions; each is fed and recorded by its own loops (`session`). Knows nothing of processes.
"""

import asyncio
import hashlib
import hmac
import logging
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from milepost.common.edges import edge
from milepost.common.wire import runner as wire
from milepost.core.definition import from_json
from milepost.core.errors import Code, MilepostError
from milepost.core.model import Event, Job, Run
from milepost.daemon.live import IDLE, Live
from milepost.daemon.session import Held, Send, Session, desired_of
from milepost.daemon.store import events, jobs, runs, tasks
from milepost.daemon.store.store import Store, Transaction
from milepost.v1 import runner_service_pb2 as pb

HELLO_TIMEOUT = 10.0

logger = logging.getLogger(__name__)


def token_hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


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

    def live(self, job_id: str) -> Live:
        session = self._sessions.get(job_id)
        return session.live if session is not None else IDLE

    def is_attached(self, job_id: str, run: int) -> bool:
        session = self._sessions.get(job_id)
        return session is not None and session.run.number == run

    async def refresh(self, job_id: str, *, look_everywhere: bool = False) -> None:
        """Tells the runner what is wanted now, after a command or when tasks became pending behind its back."""
        session = self._sessions.get(job_id)
        if session is None:
            return
        await self.show(await self._store.read(lambda db: jobs.get(db, job_id)))
        if look_everywhere:
            session.look_everywhere()

    async def show(self, job: Job) -> None:
        """As `refresh`, for a job that was just read."""
        session = self._sessions.get(job.id)
        if session is not None:
            await session.set_desired(job)

    def tell(self, job_id: str) -> None:
        """Watchers are to see the job again: what is noticed about it has changed with time."""
        self._on_live(job_id)

    async def wait_holding(self, job_id: str, revision: int, timeout: float) -> bool:
        """Whether, within `timeout` seconds, nothing of the job can start any more."""
        session = self._sessions.get(job_id)
        if session is None:
            return await self._store.read(lambda db: not jobs.get(db, job_id).stop)
        try:
            await asyncio.wait_for(session.wait_holding(revision), timeout)
        except TimeoutError:
            return session.job.id not in self._sessions
        return True

    async def inspect(self, job_id: str) -> pb.Inspection | None:
        """None when no runner is attached, or it does not answer."""
        session = self._sessions.get(job_id)
        return await session.inspect() if session is not None else None

    async def attach(self, requests: AsyncIterator[pb.AttachRequest], send: Send) -> None:
        """Serves one stream until the runner closes it.

        Raises MilepostError(RUN_FENCED) when the token is not that of an open run.
        """
        session = await self._admit(requests, _one_at_a_time(send))
        job_id = session.job.id
        await self._replace(job_id)
        task = asyncio.current_task()
        assert task is not None
        self._sessions[job_id] = session
        self._loops[job_id] = task
        try:
            self._on_wake()
            await session.run_loops(requests)
        finally:
            if self._sessions.get(job_id) is session:
                del self._sessions[job_id], self._loops[job_id]
                session.leave()
                self._on_live(job_id)
            self._on_wake()

    async def _replace(self, job_id: str) -> None:
        """A runner that attaches again has lost its earlier stream, whatever that one says."""
        earlier = self._loops.get(job_id)
        if earlier is not None:
            earlier.cancel()
            await asyncio.wait([earlier])

    async def _admit(self, requests: AsyncIterator[pb.AttachRequest], send: Send) -> Session:
        try:
            first = await asyncio.wait_for(anext(requests), HELLO_TIMEOUT)
        except (TimeoutError, StopAsyncIteration) as error:
            raise MilepostError(Code.INVALID_ARGUMENT, "A runner attached and said no hello.") from error
        if first.WhichOneof("message") != "hello":
            raise MilepostError(Code.INVALID_ARGUMENT, "The first message of a runner must be its hello.")
        hello = first.hello
        job, run = await self._store.write(lambda tx: _identify(tx, hello))
        definition = from_json(job.definition_json)
        session = Session(job, run, definition, self._folder / "jobs" / job.id, self._store, send, self._on_live)
        refs = [wire.ref_from_proto(ref) for ref in hello.held]
        current = await self._store.read(lambda db: tasks.still_current(db, job.id, refs))
        for ref in current:
            session.held[ref.item] = Held(ref.step, ref.epoch, 0)
        session.desired = desired_of(job, definition)
        welcome = self._welcome(job, session.desired)
        welcome.void.extend(wire.ref_to_proto(ref) for ref in refs if ref not in current)
        await _send_welcome(send, welcome)
        return session

    def _welcome(self, job: Job, desired: pb.Desired) -> pb.Welcome:
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


def _identify(tx: Transaction, hello: pb.Hello) -> tuple[Job, Run]:
    """Admits the run's runner and notes which process it is. Raises MilepostError(RUN_FENCED)."""
    job = jobs.get(tx.connection, hello.job_id)
    run = runs.get(tx.connection, job.id, hello.run)
    if run is None or run.end is not None or not hmac.compare_digest(run.token_hash, token_hash(hello.token)):
        raise MilepostError(
            Code.RUN_FENCED,
            f"Run {hello.run} of {job.id} has ended or this is not its runner.",
            "The runner is to end: what it holds will run again.",
        )
    now = time.time()
    runs.identify(tx, job.id, run.number, hello.pid, hello.process_start_ticks, hello.boot_id, now)
    kind = "RUNNER_ATTACHED" if run.hello_time is None else "RUNNER_REATTACHED"
    events.append(tx, job.id, Event(kind, now, "daemon", message=f"run {run.number}, process {hello.pid}"))
    return job, run
