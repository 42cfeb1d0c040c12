"""The stream to the daemon, from its end: a scripted daemon that has not read yet what the runner said."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio

from milepost.common.wire.runner import PROTOCOL
from milepost.runner.link import Link, Refused
from milepost.runner.stream import Stream
from milepost.v1 import runner_service_pb2 as pb
from milepost.v1.runner_service_pb2_grpc import RunnerServiceServicer, add_RunnerServiceServicer_to_server
from tests.support.runner_fixtures import folder
from tests.support.wait import DEADLINE

__all__ = ["folder"]


class BusyDaemon(RunnerServiceServicer):
    """Welcomes a runner, and reads what it says after that only when it is `idle`; then it may have a `refusal`."""

    def __init__(self, refusal: str = "") -> None:
        self.idle = asyncio.Event()
        self.heard: list[str | None] = []
        self._refusal = refusal

    async def Attach(  # noqa: N802 (the name of the RPC)
        self, request_iterator: AsyncIterator[pb.AttachRequest], context: Any
    ) -> AsyncIterator[pb.AttachResponse]:
        await anext(request_iterator)
        yield pb.AttachResponse(welcome=pb.Welcome(protocol=PROTOCOL))
        await self.idle.wait()
        self.heard = [request.WhichOneof("message") async for request in request_iterator]
        if self._refusal:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, self._refusal)


class Ending:
    """A runner's stream that has sent everything; `attending` ends with it."""

    def __init__(self, link: Link) -> None:
        self._quiet = asyncio.Event()
        self.stream = Stream(link, lambda: pb.Heartbeat(drained=True), self._quiet.set)
        self.attending = asyncio.create_task(
            self.stream.stay_attached(pb.Hello, lambda _: self.stream.beat(), lambda _: None, lambda: None)
        )

    async def end(self, daemon: BusyDaemon) -> None:
        """Says its farewell to a daemon that reads only then."""
        await self._quiet.wait()
        asyncio.get_running_loop().call_soon(daemon.idle.set)
        await self.stream.end(10 * DEADLINE)


@asynccontextmanager
async def attached(daemon: BusyDaemon, folder: Path) -> AsyncIterator[Ending]:
    server = aio.server()
    add_RunnerServiceServicer_to_server(daemon, server)
    server.add_insecure_port(f"unix:{folder / 'socket'}")
    await server.start()
    async with asyncio.timeout(DEADLINE), Link(folder / "socket") as link:
        yield Ending(link)
    await server.stop(None)


async def test_what_a_runner_says_last_is_heard_by_a_daemon_that_is_busy(folder: Path) -> None:
    daemon = BusyDaemon()
    async with attached(daemon, folder) as runner:
        await runner.end(daemon)
        await runner.attending
    assert daemon.heard == ["heartbeat"]


async def test_a_runner_that_is_refused_at_its_farewell_waits_no_longer(folder: Path) -> None:
    daemon = BusyDaemon(refusal="The run has ended.")
    async with attached(daemon, folder) as runner:
        await runner.end(daemon)
        with pytest.raises(Refused, match="The run has ended"):
            await runner.attending
