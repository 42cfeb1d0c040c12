"""The least that a durable watch does in Python: a commit of what came meanwhile, a frame, the same bytes to all.

It knows no filters, no tokens and no queue, reads nothing, and what it tells of a job is ready but for one count. It
keeps ours' rule of frames, and is watched by the same clients.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiosqlite
import grpc
import grpc.aio

from bench.measuring import folder
from milepost.daemon.watch import FRAME, REST
from milepost.v1 import job_pb2
from milepost.v1 import job_service_pb2 as pb

SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE task (job TEXT, item INTEGER, outcome INTEGER, PRIMARY KEY (job, item)) WITHOUT ROWID;
CREATE TABLE job (id TEXT PRIMARY KEY, succeeded INTEGER) WITHOUT ROWID;
"""


@dataclass
class _Stream:
    changed: set[str] = field(default_factory=set)
    wake: asyncio.Event = field(default_factory=asyncio.Event)


class BareWatch:
    """`jobs`: what is told of each, but for the tasks of its second step that have succeeded."""

    def __init__(self, socket: Path, database: aiosqlite.Connection, jobs: Iterable[job_pb2.Job]) -> None:
        self.socket = socket
        self._database = database
        self._documents = {job.id: pb.WatchJobsResponse(jobs=[job]) for job in jobs}
        self._encoded: dict[str, bytes] = {}
        self._succeeded = Counter[str]()
        self._asked: list[tuple[str, int]] = []
        self._committing = asyncio.Lock()
        self._changed: set[str] = set()
        self._wake = asyncio.Event()
        self._streams: list[_Stream] = []
        self._joined: tuple[set[str], bytes] = (set(), b"")

    async def prepare(self) -> None:
        await self._database.executescript(SCHEMA)
        await self._database.executemany("INSERT INTO job VALUES (?, 0)", [(job_id,) for job_id in self._documents])
        await self._database.commit()

    async def change(self, job_id: str, item: int) -> None:
        """Returns when it is durable, together with all that were asked for until the commit began."""
        self._asked.append((job_id, item))
        await asyncio.sleep(0)  # the others of this tick ask too
        async with self._committing:
            asked, self._asked = self._asked, []
            if asked:
                await self._commit(asked)

    async def _commit(self, asked: list[tuple[str, int]]) -> None:
        job_ids = [job_id for job_id, _ in asked]
        update = "UPDATE job SET succeeded = succeeded + 1 WHERE id = ?"
        await self._database.executemany(update, [(job_id,) for job_id in job_ids])
        await self._database.executemany("INSERT INTO task VALUES (?, ?, 1)", asked)
        await self._database.commit()
        self._succeeded.update(job_ids)
        self._changed.update(job_ids)
        self._wake.set()

    async def send_frames(self) -> None:
        """Until it is cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            await self._wake.wait()
            self._wake.clear()
            begun = clock()
            self._frame()
            await asyncio.sleep(0)  # those who are ready take it now
            await asyncio.sleep(max(FRAME, (clock() - begun) * REST))

    def _frame(self) -> None:
        changed, self._changed = self._changed, set()
        if not self._streams:
            return
        for job_id in changed:
            document = self._documents[job_id]
            document.jobs[0].steps[1].counts.succeeded = self._succeeded[job_id]
            self._encoded[job_id] = document.SerializeToString()
        self._joined = (set(), b"")
        for stream in self._streams:
            stream.changed |= changed
            stream.wake.set()

    async def watch(self, _request: bytes, _context: object) -> AsyncIterator[bytes]:
        stream = _Stream()
        self._streams.append(stream)
        try:
            yield pb.WatchJobsResponse(caught_up=True).SerializeToString()
            while True:
                await stream.wake.wait()
                stream.wake.clear()
                changed, stream.changed = stream.changed, set()
                if self._joined[0] != changed:
                    self._joined = (changed, b"".join(self._encoded[job_id] for job_id in changed))
                yield self._joined[1]
        finally:
            self._streams.remove(stream)


@asynccontextmanager
async def bare_watch(jobs: Iterable[job_pb2.Job]) -> AsyncIterator[BareWatch]:
    with folder() as path:
        async with aiosqlite.connect(path / "bare.db") as database, asyncio.TaskGroup() as group:
            bare = BareWatch(path / "bare.sock", database, jobs)
            await bare.prepare()
            server = grpc.aio.server()
            handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_stream_rpc_method_handler(bare.watch)
            server.add_registered_method_handlers("milepost.v1.JobService", {"WatchJobs": handler})
            server.add_insecure_port(f"unix:{bare.socket}")
            await server.start()
            frames = group.create_task(bare.send_frames())
            try:
                yield bare
            finally:
                frames.cancel()
                await server.stop(None)
