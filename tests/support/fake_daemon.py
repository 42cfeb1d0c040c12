"""The daemon's side of one run, as a script: a peer for real runners, which remembers what it was told."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

from grpc import aio

from milepost.common.wire.runner import children_from_proto, page_to_proto
from milepost.core.model import Child, PendingTask
from milepost.v1 import runner_service_pb2 as pb
from milepost.v1.runner_service_pb2_grpc import RunnerServiceServicer, add_RunnerServiceServicer_to_server

DEADLINE = 30.0
MARK = "MILEPOST_RUN"


def pending_task(item: int, step: int = 0, key: str = "", **values: Any) -> PendingTask:
    return PendingTask(step, item, 0, key, 0, "", 0, 0)._replace(**values)


def reports_of(batch: pb.Batch) -> list[pb.Report]:
    """All of it as reports, those in columns too."""
    completed = [
        pb.Report(
            task=pb.TaskRef(step=alike.step, item=item, epoch=alike.epoch),
            kind=alike.kind,
            label=alike.label,
            result_json=alike.results_json[index],
            start_us=alike.start_us[index],
            end_us=alike.end_us[index],
            folder=alike.folders[index] if alike.folders else "",
        )
        for alike in batch.completed
        for index, item in enumerate(alike.items)
    ]
    return [*completed, *batch.reports]


class FakeDaemon(RunnerServiceServicer):
    """`acknowledges` may be set to False, `welcome` changed, between streams. Batches are kept by their number."""

    def __init__(self, socket: Path, welcome: pb.Welcome) -> None:
        self.socket = socket
        self.welcome = welcome
        self.acknowledges = True
        self.hellos: list[pb.Hello] = []
        self.heartbeats: list[pb.Heartbeat] = []
        self.inspections: list[pb.Inspection] = []
        self.gathers: list[pb.GatherRequest] = []
        self.batches: dict[int, pb.Batch] = {}
        self.received: list[int] = []  # batch numbers as they came, repetitions too
        self._out: asyncio.Queue[pb.AttachResponse | None] = asyncio.Queue()
        self._changed = asyncio.Event()
        self._revision = 0
        self._server: aio.Server | None = None

    async def start(self) -> None:
        self._server = aio.server()
        add_RunnerServiceServicer_to_server(self, self._server)
        self._server.add_insecure_port(f"unix:{self.socket}")
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    async def Attach(  # noqa: N802 (the name of the RPC)
        self, request_iterator: AsyncIterator[pb.AttachRequest], _context: Any
    ) -> AsyncIterator[pb.AttachResponse]:
        self._out = asyncio.Queue()
        out = self._out
        reading = asyncio.create_task(self._read(request_iterator, out))
        try:
            while (response := await out.get()) is not None:
                yield response
        finally:
            reading.cancel()

    async def _read(
        self, requests: AsyncIterator[pb.AttachRequest], out: "asyncio.Queue[pb.AttachResponse | None]"
    ) -> None:
        async for request in requests:
            self._hear(request)
            self._changed.set()
        out.put_nowait(None)  # the runner has said everything

    def _hear(self, request: pb.AttachRequest) -> None:
        match request.WhichOneof("message"):
            case "hello":
                self.hellos.append(request.hello)
                self.send(welcome=self.welcome)
            case "heartbeat":
                self.heartbeats.append(request.heartbeat)
            case "batch":
                self.received.append(request.batch.sequence)
                self.batches[request.batch.sequence] = request.batch
                if self.acknowledges:
                    self.send(ack=pb.Ack(sequence=request.batch.sequence))
            case "inspection":
                self.inspections.append(request.inspection)
            case "gather":
                self.gathers.append(request.gather)

    def send(self, **message: Any) -> None:
        self._out.put_nowait(pb.AttachResponse(**message))

    def hand_out(self, tasks: Iterable[PendingTask]) -> None:
        for _, of_step in groupby(tasks, lambda task: task.step):
            self.send(page=page_to_proto(list(of_step)))

    def desire(self, state: pb.DesiredState.ValueType, reason: str = "", *, finished: bool = False) -> int:
        """Gives the revision of what is desired from now on."""
        self._revision += 1
        desired = pb.Desired(state=state, revision=self._revision, reason=reason, finished=finished)
        self.welcome.desired.CopyFrom(desired)
        self.send(desired=desired)
        return self._revision

    @property
    def reports(self) -> list[pb.Report]:
        return [report for _, batch in sorted(self.batches.items()) for report in reports_of(batch)]

    @property
    def children(self) -> list[Child]:
        chunks = [chunk for _, batch in sorted(self.batches.items()) for chunk in batch.children]
        return [child for chunk in chunks for child in children_from_proto(chunk.children)]

    async def until(self, condition: Callable[[], object]) -> None:
        """Waits for what the runner tells. Raises TimeoutError."""
        async with asyncio.timeout(DEADLINE):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


class RunnerProcess:
    """A real runner, started as the daemon starts it."""

    def __init__(self, daemon: FakeDaemon, folder: Path, mark: str, token: str = "secret") -> None:
        (folder / "logs").mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.mark = mark
        self.log = folder / "logs" / "run-1.log"
        reading, writing = os.pipe()
        os.write(writing, token.encode())
        os.close(writing)
        arguments = ["--socket", str(daemon.socket), "--job", "j-aaaaaaaa", "--run", "1", "--folder", str(folder)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "milepost.runner", *arguments, "--token-fd", str(reading)],
                env={**os.environ, MARK: mark, "PYTHONPATH": str(Path.cwd())},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[reading],
                start_new_session=True,
            )
        os.close(reading)

    async def ended(self) -> int:
        """Its exit code. Raises TimeoutError."""
        async with asyncio.timeout(DEADLINE):
            return await asyncio.to_thread(self.process.wait, DEADLINE)

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
