"""What the screen calls live is how things are: over a daemon on the wire whose watch comes and goes by itself."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from milepost.common.settings import load_settings
from milepost.tui import connection as subject
from milepost.tui.connection import Connection
from milepost.tui.link import Link, LinkState
from milepost.tui.store import JobStore
from milepost.v1 import daemon_service_pb2, job_pb2
from milepost.v1 import job_service_pb2 as pb
from milepost.v1.daemon_service_pb2_grpc import DaemonServiceServicer, add_DaemonServiceServicer_to_server
from milepost.v1.job_service_pb2_grpc import JobServiceServicer, add_JobServiceServicer_to_server
from tests.support.wait import wait_until

BREAK = None


class Watched(JobServiceServicer, DaemonServiceServicer):
    """Sends what is put into `updates`, and BREAK ends the watch; every question is answered at once."""

    def __init__(self) -> None:
        self.updates: asyncio.Queue[pb.WatchJobsResponse | None] = asyncio.Queue()
        self.looks = 0

    async def WatchJobs(  # noqa: N802 (the name of the RPC)
        self, _request: pb.WatchJobsRequest, context: Any
    ) -> AsyncIterator[pb.WatchJobsResponse]:
        while (update := await self.updates.get()) is not BREAK:
            yield update
        await context.abort(grpc.StatusCode.UNAVAILABLE, "the watch breaks")

    async def GetInfo(  # noqa: N802
        self, _request: daemon_service_pb2.GetInfoRequest, _context: Any
    ) -> daemon_service_pb2.GetInfoResponse:
        return daemon_service_pb2.GetInfoResponse()

    async def GetStats(  # noqa: N802
        self, _request: daemon_service_pb2.GetStatsRequest, _context: Any
    ) -> daemon_service_pb2.GetStatsResponse:
        self.looks += 1
        return daemon_service_pb2.GetStatsResponse()


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Watched]:
    watched = Watched()  # type: ignore[abstract] # nothing else is asked
    server = aio.server()
    add_JobServiceServicer_to_server(watched, server)
    add_DaemonServiceServicer_to_server(watched, server)
    healthy = health.aio.HealthServicer()
    await healthy.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    server.add_insecure_port(f"unix:{folder}/daemon.sock")
    await server.start()
    yield watched
    await server.stop(None)


async def test_it_is_live_only_while_everything_has_been_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "_STATS", 0.02)
    live_with: set[int] = set()

    def tell() -> None:
        if connection.link.state is LinkState.LIVE:
            live_with.add(store.rows["j-a"].job.revision)

    async def at(state: LinkState) -> bool:
        return connection.link.state is state

    def update(revision: int, *, caught_up: bool) -> pb.WatchJobsResponse:
        return pb.WatchJobsResponse(jobs=[job_pb2.Job(id="j-a", revision=revision)], caught_up=caught_up)

    with tempfile.TemporaryDirectory(prefix="milepost-") as folder:
        store = JobStore()
        before = Link(LinkState.LOST, 5.0)
        connection = Connection(load_settings({"state_dir": folder}, {}), {}, store, tell, before)
        async with serving(Path(folder)) as daemon:
            running = asyncio.create_task(connection.run())

            async def has_looked() -> bool:
                return daemon.looks > 0

            await wait_until(has_looked, "a daemon answers")
            assert (connection.link.state, connection.link.since) == (LinkState.LOST, 5.0)
            daemon.updates.put_nowait(update(1, caught_up=True))
            await wait_until(lambda: at(LinkState.LIVE), "all is told")

            daemon.updates.put_nowait(BREAK)
            await wait_until(lambda: at(LinkState.LOST), "the watch is lost")
            looks = daemon.looks

            async def has_looked_on() -> bool:
                return daemon.looks >= looks + 3

            await wait_until(has_looked_on, "questions are answered meanwhile")
            assert connection.link.state is LinkState.LOST
            daemon.updates.put_nowait(update(2, caught_up=False))
            daemon.updates.put_nowait(update(3, caught_up=True))
            await wait_until(lambda: at(LinkState.LIVE), "all is told again")
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    assert live_with == {1, 3}


async def test_a_daemon_that_does_not_start_is_tried_again_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "_AGAIN", 0.0)
    (tmp_path / "state").write_text("no folder")
    told: list[LinkState] = []
    settings, before = load_settings({"state_dir": str(tmp_path / "state")}, {}), Link(LinkState.LOST, 5.0)
    connection = Connection(settings, {}, JobStore(), lambda: told.append(connection.link.state), before)
    running = asyncio.create_task(connection.run())

    async def tried_again() -> bool:
        return told.count(LinkState.NOT_STARTED) > 2

    await wait_until(tried_again, "it is tried again")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert told[0] is LinkState.STARTING
    assert set(told[1:]) == {LinkState.NOT_STARTED}
    assert (connection.link.since, "state" in connection.link.message) == (5.0, True)
