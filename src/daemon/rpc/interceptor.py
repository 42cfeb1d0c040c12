"""The outermost layer of every call: errors become statuses, oversized requests are refused, calls are counted.

What is not a MilepostError is a defect: the client gets an incident id and none of the text, the log gets everything.
"""

import asyncio
import inspect
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import Message
from grpc_status import rpc_status

from milepost.common.wire.errors import to_status
from milepost.core.errors import Code, MilepostError

MAX_REQUEST_BYTES = 1024 * 1024
#: Streams of runners are bounded by their own protocol.
_UNLIMITED = "/milepost.v1.RunnerService/"

# Any: the interceptor passes on every kind of message.
Context = grpc.aio.ServicerContext[Any, Any]
#: None: there is no such method.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"

logger = logging.getLogger(__name__)


class Interceptor(grpc.aio.ServerInterceptor):
    """`running`: the tasks of all calls that have not ended."""

    def __init__(self) -> None:
        self.running: set[asyncio.Task[Any]] = set()  # Any: gRPC's own tasks

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        handler: Any = await continuation(handler_call_details)  # Any: the stubs know none of its attributes
        if handler is None:
            return None  # an unknown method: gRPC answers UNIMPLEMENTED
        shape = _shape(handler)
        behaviour = getattr(handler, shape)
        wrap = self._streaming if inspect.isasyncgenfunction(inspect.unwrap(behaviour)) else self._answering
        make = getattr(grpc, f"{shape}_rpc_method_handler")
        wrapped: Handler = make(
            wrap(handler_call_details.method, behaviour), handler.request_deserializer, handler.response_serializer
        )
        return wrapped

    def _answering(self, method: str, behaviour: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(request: object, context: Context) -> object:
            with self._counted():
                try:
                    _refuse_oversized(method, request)
                    return await behaviour(request, context)
                except Exception as error:
                    await _abort(context, method, error)
                    raise

        return call

    def _streaming(self, method: str, behaviour: Callable[..., Any]) -> Callable[..., AsyncIterator[Any]]:
        async def call(request: object, context: Context) -> AsyncIterator[Any]:
            with self._counted():
                try:
                    _refuse_oversized(method, request)
                    async with aclosing(behaviour(request, context)) as responses:
                        async for response in responses:
                            yield response
                except Exception as error:  # noqa: BLE001 - the outermost layer: all of them become a status
                    await _abort(context, method, error)

        return call

    @contextmanager
    def _counted(self) -> Iterator[None]:
        task = asyncio.current_task()
        if task is not None and task not in self.running:
            self.running.add(task)
            task.add_done_callback(self.running.discard)
        yield


def _shape(handler: Any) -> str:  # Any: see above
    requests = "stream" if handler.request_streaming else "unary"
    responses = "stream" if handler.response_streaming else "unary"
    return f"{requests}_{responses}"


def _refuse_oversized(method: str, request: object) -> None:
    if not isinstance(request, Message) or method.startswith(_UNLIMITED):
        return
    size = request.ByteSize()
    if size > MAX_REQUEST_BYTES:
        raise MilepostError(
            Code.TOO_LARGE,
            f"The request has {size:,} bytes; {MAX_REQUEST_BYTES:,} are possible.",
            "Put large data into the input file: it is copied into the job.",
        )


async def _abort(context: Context, method: str, error: Exception) -> None:
    if isinstance(error, grpc.aio.BaseError) and not isinstance(error, grpc.aio.UsageError):
        raise error  # aborted already, or the caller is gone
    if not isinstance(error, MilepostError):
        incident = secrets.token_hex(4)
        logger.error("incident %s in %s", incident, method, exc_info=error)
        error = MilepostError(
            Code.INTERNAL,
            f"The daemon has a defect (incident {incident}).",
            f"See daemon.log for {incident}, and report it.",
            {"incident": incident},
        )
    await context.abort_with_status(rpc_status.to_status(to_status(error)))
