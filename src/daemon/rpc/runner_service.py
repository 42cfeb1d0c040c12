"""RunnerService: hands the stream of a runner to dispatch."""

from collections.abc import AsyncIterator

from milepost.daemon.dispatch import Dispatch
from milepost.daemon.rpc.interceptor import Context
from milepost.v1 import runner_service_pb2 as pb
from milepost.v1.runner_service_pb2_grpc import RunnerServiceServicer


class RunnerService(RunnerServiceServicer):
    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch

    # gRPC takes a coroutine that writes to the context, too; the stubs know generators only.
    async def Attach(  # type: ignore[override]
        self, request_iterator: AsyncIterator[pb.AttachRequest], context: Context
    ) -> None:
        await self._dispatch.attach(request_iterator, context.write)
