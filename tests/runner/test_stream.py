"""The stream to the daemon, from its end: a scripted daemon that has not read yet what the runner said."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from grpc import aio

from milepost.common.wire.runner import PROTOCOL
from milepost.runner.link import Link
from milepost.runner.stream import Stream
from milepost.v1 import runner_service_pb2 as pb
from milepost.v1.runner_service_pb2_grpc import RunnerServiceServicer, add_RunnerServiceServicer_to_server
from tests.support.runner_fixtures import folder
from tests.support.wait import DEADLINE

__all__ = ["folder"]


class BusyDaemon(RunnerServiceServicer):
    """Welcomes a runner, and reads what it says after that only when it is `idle`."""

    def __init__(self) -> None:
        self.idle = asyncio.Event()
        self.heard: list[str | None] = []

    async def Attach(  # noqa: N802 (the name of the RPC)
        self, request_iterator: AsyncIterator[pb.AttachRequest], _context: Any
    ) -> AsyncIterator[pb.AttachResponse]:
        await anext(request_iterator)
        yield pb.AttachResponse(welcome=pb.Welcome(protocol=PROTOCOL))
        await self.idle.wait()
        self.heard = [request.WhichOneof("message") async for request in request_iterator]


async def test_what_a_runner_says_last_is_heard_by_a_daemon_that_is_busy(folder: Path) -> None:
    daemon, quiet = BusyDaemon(), asyncio.Event()
    server = aio.server()
    add_RunnerServiceServicer_to_server(daemon, server)
    server.add_insecure_port(f"unix:{folder / 'socket'}")
    await server.start()
    async with asyncio.timeout(DEADLINE), Link(folder / "socket") as link, asyncio.TaskGroup() as group:
        stream = Stream(link, lambda: pb.Heartbeat(drained=True), quiet.set)
        group.create_task(stream.stay_attached(pb.Hello, lambda _: stream.beat(), lambda _: None, lambda: None))
        await quiet.wait()
        ending = group.create_task(stream.end(DEADLINE))
        asyncio.get_running_loop().call_soon(daemon.idle.set)
        await ending
    assert daemon.heard == ["heartbeat"]
    await server.stop(None)
