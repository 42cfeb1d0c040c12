"""The client library: one channel to the daemon, calls with deadlines and request ids, and a watch that never ends.

For clients written in Python (CLI, TUI); anything else uses the API itself, which needs nothing of this. Errors come
as MilepostError, whatever gRPC made of them.
"""

import asyncio
import os
import socket as sockets
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

import grpc
import grpc.aio

from milepost.core.errors import Code, MilepostError
from milepost.v1 import job_service_pb2_grpc
from milepost.v1.job_service_pb2 import WatchJobsRequest, WatchJobsResponse

if TYPE_CHECKING:
    from milepost.v1 import daemon_service_pb2_grpc

MAX_MESSAGE = 16 * 1024 * 1024
DEADLINE = 60.0
#: How long a call waits for a daemon that went away before it says so.
AWAY = 5.0
#: Commands of one person on their way at a time. Most of what they may wait for is others: a runner's answer, for 2 s.
COMMANDS_AT_A_TIME = 250

CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    # Failed subchannels are shared otherwise: a new channel would inherit the backoff of an old one.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    # No backoff, whatever its name: what one attempt to connect may take. A daemon with much to do is not away.
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.enable_http_proxy", 0),
    # Keeps a stream's buffer at 0.1 MB instead of several: a slow watcher is to be conflated by the daemon.
    ("grpc.http2.bdp_probe", 0),
)

Request = TypeVar("Request")
Response = TypeVar("Response")

#: What a watch outlives.
_AWAY_CODES = frozenset({Code.DAEMON_UNREACHABLE, Code.DAEMON_STOPPING, Code.TIMED_OUT})


@dataclass(frozen=True)
class Disconnected:
    """The watch lost the daemon and goes on as soon as it answers again."""

    error: MilepostError


def new_request_id() -> str:
    return os.urandom(16).hex()


def is_listening(socket: Path) -> bool:
    """Whether some process accepts connections there; costs no channel."""
    with sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(socket))
        except OSError:
            return False
    return True


class Client:
    """Used as `async with Client(socket, "cli/0.1.0") as client`; `name` tells the daemon's history who asked."""

    def __init__(self, socket: Path, name: str) -> None:
        self.socket = socket
        self._metadata = (("milepost-client", name),)
        self._channel = grpc.aio.insecure_channel(f"unix:{socket}", options=CHANNEL_OPTIONS)
        self._is_closed = False
        self.jobs = job_service_pb2_grpc.JobServiceStub(self._channel)

    @cached_property
    def daemon(self) -> "daemon_service_pb2_grpc.DaemonServiceStub":
        from milepost.v1 import daemon_service_pb2_grpc  # few verbs ask the daemon about itself

        return daemon_service_pb2_grpc.DaemonServiceStub(self._channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_closed = True
        await self._channel.close()

    async def call(
        self,
        method: "grpc.aio.UnaryUnaryMultiCallable[Request, Response]",
        request: Request,
        deadline: float = DEADLINE,
    ) -> Response:
        """Calls a unary method; a mutation gets a request id, so that it is safe to send it again.

        `deadline` in seconds. When the daemon goes away meanwhile the call is sent again for up to AWAY seconds, then
        MilepostError(DAEMON_UNREACHABLE) is raised; every other error is raised at once.
        """
        if getattr(request, "request_id", None) == "":
            request.request_id = new_request_id()  # type: ignore[attr-defined] # every mutation has the field
        clock = asyncio.get_running_loop().time
        gone_at = clock() + AWAY
        while True:
            try:
                return await self._once(method, request, deadline)
            except MilepostError as error:
                if error.code is not Code.DAEMON_UNREACHABLE or clock() >= gone_at or self._is_closed:
                    raise
                await asyncio.sleep(0.1)

    async def _once(
        self, method: "grpc.aio.UnaryUnaryMultiCallable[Request, Response]", request: Request, deadline: float
    ) -> Response:
        try:
            # Without wait_for_ready a daemon that is not there is told at once; `call` decides how long to go on.
            with self._told_when_closed():
                return await method(request, timeout=deadline, metadata=self._metadata, wait_for_ready=False)
        except grpc.aio.AioRpcError as error:
            raise _translated(error) from error

    @contextmanager
    def _told_when_closed(self) -> Iterator[None]:
        """gRPC cancels whoever waits on a channel that is closed, as if the task itself had been cancelled."""
        try:
            yield
        except (asyncio.CancelledError, grpc.aio.UsageError) as error:
            task = asyncio.current_task()
            if not self._is_closed or (task is not None and task.cancelling()):
                raise
            raise MilepostError(Code.DAEMON_UNREACHABLE, "The connection was closed.", "Try again.") from error

    async def stream(
        self, method: "grpc.aio.UnaryStreamMultiCallable[Request, Response]", request: Request
    ) -> AsyncIterator[Response]:
        """The answers of a streaming method, until the daemon ends them. Raises MilepostError."""
        try:
            with self._told_when_closed():
                async for response in method(request, metadata=self._metadata, wait_for_ready=False):
                    yield response
        except grpc.aio.AioRpcError as error:
            raise _translated(error) from error

    async def watch(
        self, filter_text: str = "", token: str = ""
    ) -> AsyncGenerator[WatchJobsResponse | Disconnected, None]:
        """Updates from `token` on (empty: every job first), for ever.

        After a lost connection it yields Disconnected once, reconnects for as long as it takes and goes on from the
        last update's token. Raises MilepostError only for what trying again cannot mend (a wrong filter).
        """
        while True:
            request = WatchJobsRequest(watch_token=token, filter=filter_text)
            lost = MilepostError(Code.DAEMON_UNREACHABLE, "The daemon ended the watch.", "It goes on by itself.")
            try:
                async for update in self.stream(self.jobs.WatchJobs, request):
                    token = update.watch_token or token
                    yield update
            except MilepostError as error:
                if error.code not in _AWAY_CODES:
                    raise
                lost = error
            yield Disconnected(lost)
            await self._until_serving()

    async def _until_serving(self) -> None:
        import tenacity  # costs 9 ms, which a verb that loses no daemon does not pay

        async for attempt in tenacity.AsyncRetrying(
            wait=tenacity.wait_exponential_jitter(multiplier=0.1, max=2.0, jitter=0.1),
            retry=tenacity.retry_if_exception_type(MilepostError),
        ):
            with attempt:
                await self.check_serving(2.0)

    async def check_serving(self, deadline: float) -> None:
        """Asks the standard health service. Raises MilepostError(DAEMON_UNREACHABLE) unless it says SERVING."""
        from grpc_health.v1 import health_pb2, health_pb2_grpc  # needed only around starts and lost connections

        stub = health_pb2_grpc.HealthStub(self._channel)
        answer = await self._once(stub.Check, health_pb2.HealthCheckRequest(), deadline)
        if answer.status != health_pb2.HealthCheckResponse.SERVING:
            raise MilepostError(Code.DAEMON_UNREACHABLE, "The daemon is not ready.", "Try again in a moment.")


def _translated(error: grpc.aio.AioRpcError) -> MilepostError:
    from milepost.common.wire.errors import from_rpc_error  # google.rpc is needed for errors only

    return from_rpc_error(error)
