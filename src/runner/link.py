"""The stream to the daemon: attach, read, write, and attach again when it broke."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import grpc
from grpc import aio
from tenacity import AsyncRetrying, before_sleep_log, retry_if_exception_type, wait_random_exponential

from milepost.common.edges import edge
from milepost.common.wire.runner import PROTOCOL
from milepost.v1 import runner_service_pb2 as pb
from milepost.v1.runner_service_pb2_grpc import RunnerServiceStub

_LOG = logging.getLogger(__name__)

_MESSAGE_CAP = 16 * 1024 * 1024
_OPTIONS = (
    ("grpc.max_send_message_length", _MESSAGE_CAP),
    ("grpc.max_receive_message_length", _MESSAGE_CAP),
    # Subchannels that failed are shared between channels otherwise, with their backoff.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    # No backoff, whatever its name: what one attempt to connect may take. A daemon with much to do is not away.
    ("grpc.min_reconnect_backoff_ms", 5_000),
)
#: Seconds until the daemon must have answered a hello.
_WELCOME_TIMEOUT = 30.0
_REFUSALS = frozenset(
    {
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.FAILED_PRECONDITION,
        # What it was told would be told again.
        grpc.StatusCode.INVALID_ARGUMENT,
    }
)

_Stream = aio.StreamStreamCall[pb.AttachRequest, pb.AttachResponse]


class LinkLost(Exception):  # noqa: N818 # an event, not a mistake
    """The stream broke; whoever wants to go on attaches again."""


class Refused(Exception):  # noqa: N818 # as above
    """The daemon says that this run is not the job's (any more)."""


class OtherProtocol(Refused):
    """The daemon is of another version than this runner: they would misread each other."""


class Attachment:
    """An attached stream. One reader and one writer may use it at a time."""

    def __init__(self, stream: _Stream, welcome: pb.Welcome) -> None:
        self._stream = stream
        self.welcome = welcome

    async def read(self) -> pb.AttachResponse:
        """Raises LinkLost, Refused."""
        try:
            response = await self._stream.read()
        except aio.AioRpcError as error:
            raise _judged(error.code(), error.details()) from error
        if not isinstance(response, pb.AttachResponse):
            raise LinkLost("the daemon closed the stream")
        return response

    @edge("link.write")
    async def write(self, request: pb.AttachRequest) -> None:
        """Waits while the daemon is slow. Raises LinkLost, Refused."""
        try:
            await self._stream.write(request)
        except aio.AioRpcError as error:
            raise _judged(error.code(), error.details()) from error
        except asyncio.InvalidStateError as error:  # the stream has ended
            raise _judged(await self._stream.code(), await self._stream.details()) from error

    async def say_no_more(self) -> None:
        """The daemon ends the stream when it has heard everything. Raises LinkLost, Refused."""
        try:
            await self._stream.done_writing()
        except (aio.AioRpcError, asyncio.InvalidStateError) as error:  # it has ended already
            raise _judged(await self._stream.code(), await self._stream.details()) from error

    def close(self) -> None:
        """At once: what the daemon has not read is lost."""
        self._stream.cancel()


class Link:
    """The channel to the daemon's socket. Use it as an async context manager."""

    def __init__(self, socket: Path) -> None:
        self._channel = aio.insecure_channel(f"unix:{quote(str(socket))}", options=_OPTIONS)
        self._stub = RunnerServiceStub(self._channel)

    async def __aenter__(self) -> "Link":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()

    async def attach(self, hello: Callable[[], pb.Hello]) -> Attachment:
        """Tries until the daemon answers. Raises Refused, also as OtherProtocol."""
        patiently = AsyncRetrying(
            retry=retry_if_exception_type(LinkLost),
            wait=wait_random_exponential(multiplier=0.05, max=1.0),
            before_sleep=before_sleep_log(_LOG, logging.DEBUG),
            reraise=True,
        )
        return await patiently(self._attach_once, hello)

    async def _attach_once(self, hello: Callable[[], pb.Hello]) -> Attachment:
        stream = self._stub.Attach()
        attachment = Attachment(stream, pb.Welcome())
        try:
            async with asyncio.timeout(_WELCOME_TIMEOUT):
                await _send_hello(attachment, hello())
                attachment.welcome = (await attachment.read()).welcome
            _check(attachment.welcome)
        except TimeoutError as error:
            attachment.close()
            raise LinkLost(f"no answer to the hello within {_WELCOME_TIMEOUT:g} s") from error
        except BaseException:
            attachment.close()
            raise
        return attachment


@edge("link.send_hello")
async def _send_hello(attachment: Attachment, hello: pb.Hello) -> None:
    hello.protocol = PROTOCOL
    await attachment.write(pb.AttachRequest(hello=hello))


def _check(welcome: pb.Welcome) -> None:
    if welcome.protocol != PROTOCOL:
        raise OtherProtocol(
            f"the daemon speaks protocol {welcome.protocol}, this runner {PROTOCOL}: "
            "they are of different versions of Milepost"
        )


def _judged(code: grpc.StatusCode, details: str | None) -> LinkLost | Refused:
    """A refusal that crosses a write may come as INTERNAL (grpc/grpc#36066): then the next hello is refused."""
    text = f"{code.name}: {details}"
    return Refused(text) if code in _REFUSALS else LinkLost(text)
