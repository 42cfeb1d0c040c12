"""The API with a real store behind a real socket, all in the test's own process; nothing runs the jobs."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from milepost.common.client import Client
from milepost.core.definition import PipelineDefinition, from_json
from milepost.core.errors import MilepostError
from milepost.core.findings import Patience
from milepost.core.model import Child, Job, Report, TaskRef
from milepost.core.queueing import Limits
from milepost.daemon.commands import Commands
from milepost.daemon.dispatch import Dispatch
from milepost.daemon.live import IDLE, Live
from milepost.daemon.rpc.job_service import Parts
from milepost.daemon.rpc.server import Serving, build_server
from milepost.daemon.sdk_copy import copy_sdk
from milepost.daemon.snapshot import Snapshots
from milepost.daemon.store import children, jobs
from milepost.daemon.store.store import Store
from milepost.daemon.submit import Submit
from milepost.daemon.vigil import Vigil
from milepost.daemon.watch import Hub
from milepost.v1 import daemon_service_pb2, job_pb2
from milepost.v1 import job_service_pb2 as pb
from tests.support import factories
from tests.support.applying import apply
from tests.support.factories import NOW, no_jitter


@dataclass
class InProcessDaemon:
    folder: Path
    store: Store
    hub: Hub
    serving: Serving
    client: Client
    snapshots: Snapshots
    vigil: Vigil
    live: dict[str, Live] = field(default_factory=dict)

    async def insert(self, job_id: str, definition: PipelineDefinition | None = None, **values: Any) -> Job:
        """A job's row, without its folder."""
        job = factories.job(job_id, definition, **values)
        return await self.store.write(lambda tx: jobs.insert(tx, job, from_json(job.definition_json)))

    async def add_items(self, job: Job, keys: list[str]) -> None:
        """As if the job's first step had read these rows, and ended."""
        definition = from_json(job.definition_json)
        rows = [Child(key, f'{{"handle":"{key}"}}') for key in keys]
        root = TaskRef(0, 0, 0)
        await self.store.write(lambda tx: children.add(tx, job.id, definition, root, 1, 0, rows, NOW))
        await self.report(job, factories.succeeded(0, 0))

    async def report(self, job: Job, *found: Report) -> None:
        definition = from_json(job.definition_json)
        await self.store.write(lambda tx: apply(tx, job.id, 1, definition, found, NOW, no_jitter()))

    async def job(self, reference: str) -> job_pb2.Job:
        return (await self.client.call(self.client.jobs.GetJob, pb.GetJobRequest(job=reference))).job

    def watch(
        self, token: str = "", filter_text: str = ""
    ) -> "grpc.aio.UnaryStreamCall[pb.WatchJobsRequest, pb.WatchJobsResponse]":
        return self.client.jobs.WatchJobs(pb.WatchJobsRequest(watch_token=token, filter=filter_text))

    async def refusal(self, method: Any, request: Any) -> MilepostError:
        """What the call is refused with; fails when it is not."""
        # The client writes its request id into what it sends.
        sent = type(request)()
        sent.CopyFrom(request)
        try:
            await self.client.call(method, sent)
        except MilepostError as error:
            return error
        raise AssertionError("the call was not refused")


@asynccontextmanager
async def in_process_daemon() -> AsyncIterator[InProcessDaemon]:
    async with open_store() as store, serving_of(store) as daemon:
        yield daemon


@asynccontextmanager
async def open_store() -> AsyncIterator[Store]:
    """In a folder of its own, which one daemon after the other may serve."""
    # A socket's path is short; pytest's folders need not be.
    folder = Path(tempfile.mkdtemp(prefix="milepost-"))
    try:
        store = await Store.open(folder)
        try:
            yield store
        finally:
            await store.close()
    finally:
        shutil.rmtree(folder)


async def _fail_to_drain(mode: "daemon_service_pb2.DrainMode.ValueType", by: str, client: str) -> list[str]:
    raise RuntimeError("the secret of the drain")


def _ignore(_job_id: str) -> None:
    """No runner runs, so nothing changes with time."""


@asynccontextmanager
async def serving_of(store: Store) -> AsyncIterator[InProcessDaemon]:
    folder = store.path.parent
    live: dict[str, Live] = {}
    sdk_folder = copy_sdk(folder)
    vigil = Vigil(store, lambda job_id: live.get(job_id, IDLE), _ignore, Patience(pause=60.0, silence=30.0))
    snapshots = Snapshots(folder, lambda job_id: live.get(job_id, IDLE), vigil)
    hub = Hub(store, snapshots)
    dispatch = Dispatch(store, folder, sdk_folder, 300.0, hub.changed, lambda: None)
    limits = Limits(running=8, by_queue={"default": 2}, other_queue=2)
    commands = Commands(store, folder, dispatch.show, limits)
    submit = Submit(store, folder, sdk_folder, {"api": 300.0}, lambda: None, limits)
    parts = Parts(store, folder, snapshots, hub, commands, dispatch, submit)
    socket = folder / "daemon.sock"
    serving = await build_server(parts, socket, [], _fail_to_drain)
    running = asyncio.create_task(hub.run())
    await serving.start()
    try:
        async with Client(socket, "test") as client:
            yield InProcessDaemon(folder, store, hub, serving, client, snapshots, vigil, live)
    finally:
        hub.close()
        await serving.stop(1.0)
        await running
